"""What the ranks of a training run of its prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskloss.cli.prompt import Prompt, parse_prompt
from maskloss.cli.rank_prompts import FoundCaches, prompt_of_others, training_node, until_training
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.errors import PromptError
from maskloss.core.host import LocalHost

from tests.helpers.training_prompt import NODES, api, make_prompt


def loader(*types: str) -> type:
    """A node of ComfyUI's, as far as a prompt with it is checked."""
    members = {"RETURN_TYPES": types, "INPUT_TYPES": classmethod(lambda cls: {"required": {}})}
    return type("Loader", (), members)


OTHERS = {
    "VAELoader": loader("VAE"),
    "CLIPTextEncode": loader("CONDITIONING"),
    "EmptyLatentImage": loader("LATENT"),
    "KSamplerSelect": loader("SAMPLER"),
    "BasicScheduler": loader("SIGMAS"),
}
FEEDS = {"vae": "VAELoader", "positive": "CLIPTextEncode", "latent": "EmptyLatentImage", "sampler": "KSamplerSelect",
         "sigmas": "BasicScheduler"}  # fmt: skip
ALL = {**OTHERS, **REGISTRY}


def sampled() -> Prompt:
    kind, given = NODES["train"]
    feeds: dict[str, tuple[str, dict[str, Any]]] = {name: (cls, {}) for name, cls in FEEDS.items()}
    sampling = ("MaskLossSampling", {name: [name, 0] for name in FEEDS})
    nodes = {**NODES, **feeds, "sampling": sampling, "train": (kind, {**given, "sampling": ["sampling", 0]})}
    return parse_prompt(api(nodes))


def test_what_leads_to_training_alone() -> None:
    needed = until_training(sampled(), ALL)
    assert set(needed) == {"models", "load", "latents", "text", "optimizer", "train", "sampling", *FEEDS}
    assert training_node(needed).id == "train"


def test_the_others_sample_nothing() -> None:
    needed = until_training(sampled(), ALL)
    own = prompt_of_others(needed, ALL, {})
    assert set(own) == {"models", "load", "latents", "text", "optimizer", "train"}
    assert own["train"].inputs == {
        name: value for name, value in needed["train"].inputs.items() if name != "sampling"
    }  # fmt: skip
    assert "sampling" in needed["train"].inputs


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Prompt, FoundCaches]:
    """A prompt that has run in rank 0, and what was seen of it."""
    prompt = parse_prompt(json.loads(make_prompt(tmp_path).read_text()))
    found = FoundCaches(prompt["train"])
    run_prompt(prompt, REGISTRY, LocalHost(tmp_path / "in", tmp_path / "out"), quiet=True, watcher=found)
    return until_training(prompt, REGISTRY), found


def test_a_cache_that_is_there_is_opened_and_not_made(cached: tuple[Prompt, FoundCaches], tmp_path: Path) -> None:
    needed, found = cached
    places = found.places()
    assert list(places) == [("text", 0)]
    own = prompt_of_others(needed, REGISTRY, places)
    assert set(own) == {"models", "optimizer", "train", "train.cache"}
    assert own["train"].inputs["cache"] == ["train.cache", 0]
    assert own["train.cache"].inputs == {"cache_directory": str(tmp_path / "out/cache")}
    again = FoundCaches(own["train"])
    run_prompt(own, REGISTRY, LocalHost(tmp_path / "in", tmp_path / "out"), quiet=True, watcher=again)
    assert list(again.places().values()) == list(places.values())


@pytest.mark.parametrize("fault", ["elsewhere", "other", "damaged"])
def test_a_cache_that_is_not_the_same_here_is_made(
    cached: tuple[Prompt, FoundCaches], tmp_path: Path, fault: str
) -> None:
    needed, found = cached
    [(directory, fingerprint)] = found.places().values()
    if fault == "damaged":
        (tmp_path / "out/cache/maskloss_index.json").write_text("{")
    place = {"elsewhere": (str(tmp_path / "no"), fingerprint), "other": (directory, "f" * 64)}
    own = prompt_of_others(needed, REGISTRY, {("text", 0): place.get(fault, (directory, fingerprint))})
    assert set(own) == {"models", "load", "latents", "text", "optimizer", "train"}


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_exactly_one_training(count: int) -> None:
    nodes = {name: each for name, each in NODES.items() if name not in ("train", "report")}
    nodes["kept"] = ("MaskLossPreviewCache", {"cache": ["text", 0]})
    nodes |= {f"train {number}": NODES["train"] for number in range(count)}
    with pytest.raises(PromptError, match=f"{count} training nodes"):
        until_training(parse_prompt(api(nodes)), REGISTRY)
