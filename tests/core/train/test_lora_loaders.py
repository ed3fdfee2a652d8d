"""Which programs load a file whole, as measured, and which keys are chosen by that."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.core.train.config import Algorithm
from maskloss.core.train.diffusers_keys import known_architectures
from maskloss.core.train.lora_file import KeyFormat, chosen_format
from maskloss.core.train.lora_loaders import (
    EXACT,
    LOADERS,
    is_silent,
    load_measurements,
    table,
    verdict_of,
    widest_format,
)

PACK = Path(__file__).parents[3]

ARCHITECTURES = known_architectures()

FORMATS = (KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA, KeyFormat.DIFFUSERS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auto_is_what_most_programs_load_whole(architecture: str):
    def programs(key_format: KeyFormat) -> int:
        return sum(verdict_of(architecture, "lora", key_format, loader) == EXACT for loader in LOADERS)

    chosen = chosen_format(KeyFormat.AUTO, f"{architecture}/lora")
    assert programs(chosen) == max(map(programs, FORMATS))
    for algorithm in Algorithm:
        assert verdict_of(architecture, algorithm.value, chosen, "comfyui") == EXACT
    for algorithm in ("lora", "dora", "loha", "lokr"):
        assert verdict_of(architecture, algorithm, KeyFormat.DIFFUSERS, "diffusers") == EXACT


def test_auto_is_comfyuis_own_where_nothing_was_measured():
    assert widest_format("pixart-sigma") is None
    assert chosen_format(KeyFormat.AUTO, "pixart-sigma/lora") is KeyFormat.DIFFUSION_MODEL
    assert chosen_format(KeyFormat.AUTO, "") is KeyFormat.DIFFUSION_MODEL
    assert chosen_format(KeyFormat.DIFFUSERS, "") is KeyFormat.DIFFUSERS


def test_the_page_has_the_table_that_the_program_goes_by():
    page = (PACK / "docs" / "loaders.md").read_text(encoding="utf-8")
    assert table(load_measurements()) in page
    assert "[docs/loaders.md](docs/loaders.md)" in (PACK / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("verdict", "silent"),
    [
        ("exact", False), ("refused: ValueError", False), ("no such model", False), ("ignored", True),
        ("24 of 42 layers", True), ("off by 82 %", True),
    ],
)  # fmt: skip
def test_only_a_refusal_is_no_silence(verdict: str, silent: bool):
    assert is_silent(verdict) is silent
