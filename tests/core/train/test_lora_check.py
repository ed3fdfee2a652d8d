"""What a file is, which programs load it whole, and what is warned of when it is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from maskloss.core.train.diffusers_keys import known_architectures
from maskloss.core.train.lora_check import advice, architecture_of_file, loading_lines, lora_facts, save_for_others
from maskloss.core.train.lora_file import KeyFormat, LoraWeights, load_lora, with_key_format
from maskloss.core.train.lora_layers import layers_of
from maskloss.core.train.lora_loaders import (
    LOADERS,
)
from maskloss.core.warning import collect_warnings

from .loras import MODULES, lora_of

PACK = Path(__file__).parents[3]

ARCHITECTURES = known_architectures()

FORMATS = (KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA, KeyFormat.DIFFUSERS)


@pytest.mark.parametrize("key_format", FORMATS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_file_is_told_by_its_keys(architecture: str, key_format: KeyFormat):
    tensors = with_key_format(lora_of(architecture), key_format, architecture)
    read = {key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): value for key, value in tensors.items()}
    facts = lora_facts(LoraWeights(read, {"modelspec.architecture": f"{architecture}/lora"}))
    assert (facts.architecture, facts.key_format, facts.algorithm) == (architecture, key_format, "lora")
    assert facts.layers == len(layers_of(read))


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ("flux-2", ""),
        ("z-image", ""),
        ("anima", "anima"),
        ("mochi-1-preview", "mochi-1-preview"),
        ("krea-2", "krea-2"),
        ("wan2.2", "wan2.1"),
    ],
)
def test_without_metadata_an_architecture_is_told_where_only_one_fits(architecture: str, told: str):
    """Flux 1 and 2 share the names of their layers, and so do Lumina 2 and Z-Image; WAN 2.1 and 2.2 share the table."""
    ours = lora_of(architecture)
    assert architecture_of_file(layers_of(ours), {}) == told
    assert lora_facts(LoraWeights(ours), architecture).architecture == architecture


def test_what_a_program_leaves_out_is_said_with_the_way_out():
    facts = lora_facts(LoraWeights(lora_of("flux-2"), {"modelspec.architecture": "flux-2/lora"}))
    lines = {program.split()[0]: (verdict, told) for program, verdict, told in loading_lines(facts, list(LOADERS))}
    assert lines["ComfyUI"] == ("exact", "")
    assert lines["diffusers"] == ("ignored", "whole with the key format kohya or diffusers")
    assert lines["LyCORIS"][1] == "whole with the key format kohya"
    dora = lora_of("flux-2") | {f"diffusion_model.{name}.dora_scale": torch.ones(2, 1) for name in MODULES["flux-2"]}
    facts = lora_facts(LoraWeights(dora), "flux-2")
    assert facts.algorithm == "dora"
    assert advice(facts, "diffusers") == "whole with the key format diffusers (with --base, the model's weights)"
    assert advice(facts, "lycoris") == "whole in no key format"


def test_foreign_keys_are_said_to_be_foreign():
    foreign = lora_of("flux-1-dev", prefix="base_model.model.")
    facts = lora_facts(LoraWeights(foreign), "flux-1-dev")
    assert facts.key_format is None
    assert [verdict for _, verdict, _ in loading_lines(facts, ["comfyui"])] == ["not measured"]
    assert advice(facts, "comfyui") == "whole with the key format diffusion_model or kohya or diffusers"
    unknown = lora_facts(LoraWeights(foreign), "")
    assert "what it is for cannot be told" in advice(unknown, "comfyui")


@pytest.mark.parametrize(
    ("key_format", "warns"),
    [
        (KeyFormat.AUTO, []),
        (KeyFormat.KOHYA, []),
        (KeyFormat.DIFFUSERS, []),
        (KeyFormat.DIFFUSION_MODEL, ["diffusers"]),
    ],
)
def test_saving_warns_of_what_a_common_program_leaves_out(key_format: KeyFormat, warns: list[str], tmp_path: Path):
    lora = LoraWeights(lora_of("flux-2"), {"modelspec.architecture": "flux-2/lora", "ss_steps": "7"})
    with collect_warnings(lambda _: None) as heard:
        save_for_others(tmp_path / "a.safetensors", lora, key_format)
    assert [text.split()[0] for text in heard.texts] == warns
    assert all("does not load a.safetensors whole (ignored)" in text for text in heard.texts)
    assert all("whole with the key format kohya or diffusers" in text for text in heard.texts)
    written = load_lora(tmp_path / "a.safetensors")
    assert written.metadata["ss_steps"] == "7"
    assert written.metadata["modelspec.architecture"] == "flux-2/lora"


def test_a_lora_of_an_unknown_model_is_saved_without_a_word(tmp_path: Path):
    lora = {f"diffusion_model.blocks.0.qkv.lora_{part}.weight": torch.ones(2, 2) for part in ("up", "down")}
    with collect_warnings(lambda _: None) as heard:
        save_for_others(tmp_path / "a.safetensors", lora)
    assert heard.texts == []
    assert set(load_lora(tmp_path / "a.safetensors")) == set(lora)
