"""Training on a cache of the demo models."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.autograd.compiled_blocks import CompiledBlocks
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import TrainingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig
from maskloss.nodes.lora_files import MaskLossLoadLora
from maskloss.nodes.training import MaskLossDemoModels, MaskLossTrainLora


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    (tmp_path / "in").mkdir()
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as host:
        yield host


@pytest.fixture
def cache(tmp_path: Path) -> LatentCache:
    path = tmp_path / "in/a.png"
    save_image(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    dataset = Dataset((DatasetItem("a", path, LoadSettings(resolution=(64, 64)), caption="her"),))
    latents, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    return cache_text(latents, DemoTextEncoder())[0]


def train(cache: LatentCache, steps: int, name: str = "loras/x", **more: object) -> dict:
    model = MaskLossDemoModels().run()[0]
    return MaskLossTrainLora().run(
        model=model, cache=cache, steps=steps, lora_config=LoraConfig(rank=2), output_name=name, **more
    )


def test_the_same_seed_gives_the_same_model_and_another_another() -> None:
    first, again, other = (MaskLossDemoModels().run(seed=seed)[0] for seed in (1, 1, 2))
    assert first.identity == again.identity != other.identity
    weights = [next(model.module.parameters()) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_gives_the_lora_its_losses_its_steps_and_its_file(cache: LatentCache, host: LocalHost) -> None:
    answer = train(cache, 3)
    lora, losses, steps, path = answer["result"]
    assert Path(path) == host.folders().output / "loras/x.safetensors"
    assert steps == len(losses["loss"]) == 3
    summary = {"path": path, "steps": 3, "loss": losses["loss"][-1]}
    assert answer["ui"]["maskloss"] == [pytest.approx(summary)]
    (loaded,) = MaskLossLoadLora().run(path="loras/x.safetensors")
    assert loaded.keys() == lora.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in lora.items())


def test_a_run_goes_on_where_it_stopped_and_a_finished_one_is_found(cache: LatentCache) -> None:
    whole = train(cache, 4, "loras/whole")["result"]
    train(cache, 2)
    again = train(cache, 4)["result"]
    assert all(torch.equal(again[0][key], tensor) for key, tensor in whole[0].items())
    found = train(cache, 4)
    assert found["result"][2] == 4
    assert any("nothing to train" in text for text in found["ui"]["text"])


def test_another_base_precision_is_another_run(cache: LatentCache) -> None:
    plain = train(cache, 2)["result"][0]
    with pytest.raises(TrainingError, match="differs in model"):
        train(cache, 2, base_precision="int8")
    held = train(cache, 2, "loras/y", base_precision="int8")["result"][0]
    assert held.keys() == plain.keys()
    assert not all(torch.equal(held[key], plain[key]) for key in plain)
    again = train(cache, 2, "loras/y", base_precision="int8")["result"][0]
    assert all(torch.equal(held[key], again[key]) for key in held)


def test_blocks_in_main_memory_are_the_same_run(cache: LatentCache) -> None:
    plain = train(cache, 2)["result"][0]
    swapped = train(cache, 2, "loras/y", blocks_in_main_memory=4)["result"][0]
    assert all(torch.equal(swapped[key], plain[key]) for key in plain)
    train(cache, 3, "loras/y")
    with pytest.raises(TrainingError, match="the demo model has 4 repeated blocks"):
        train(cache, 4, "loras/y", blocks_in_main_memory=5)


def test_compiled_blocks_are_another_run_of_the_same_result(
    cache: LatentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding; without code generation, which takes a compiler."""
    traced = partial(CompiledBlocks, backend="aot_eager")
    monkeypatch.setattr("maskloss.core.demo.denoiser.CompiledBlocks", traced)
    monkeypatch.setattr("maskloss.core.autograd.compiler.check_compiler", lambda _device: None)
    plain = train(cache, 2)["result"][0]
    with pytest.raises(TrainingError, match="differs in model"):
        train(cache, 2, compile_blocks=True)
    answer = train(cache, 2, "loras/y", compile_blocks=True)
    for key, tensor in plain.items():
        torch.testing.assert_close(answer["result"][0][key], tensor, rtol=1e-3, atol=1e-5)
    assert any("pieces of code compiled so far" in text for text in answer["ui"]["text"])
    assert not answer["ui"]["warnings"]


def test_guidance_that_a_model_does_not_take_is_said(cache: LatentCache) -> None:
    (warning,) = [text for text in train(cache, 1, guidance=3.5)["ui"]["warnings"] if "guidance" in text]
    assert "takes none and ignores it" in warning


@pytest.mark.parametrize(
    ("given", "refused"),
    [((0.2, 0.8), False), ((0.8, 0.2), True), ((None, 0.1), False), ((0.9, None), False)],
)
def test_a_range_of_timesteps_is_checked_where_it_is_known(given: tuple, refused: bool) -> None:
    told = MaskLossTrainLora.VALIDATE_INPUTS(*given)
    assert (told is not True) is refused
    if refused:
        assert "timestep_min" in str(told)


@pytest.mark.parametrize(("given", "refused"), [(0.1, False), (1.0, False), (0.0, True), (1.2, True), (None, False)])
def test_a_fraction_of_background_tokens_is_checked_before_anything_runs(given: float | None, refused: bool) -> None:
    told = MaskLossTrainLora.VALIDATE_INPUTS(background_tokens=given)
    assert (told is not True) is refused
    if refused:
        assert str(told).startswith(f"background_tokens must be in range (0, 1], 1 = off; found {given}")


def test_tokens_of_the_background_skip_the_middle_blocks(tmp_path: Path, host: LocalHost) -> None:
    path, mask = tmp_path / "in/a.png", np.zeros((128, 128), np.uint8)
    mask[:32, :32] = 255
    save_image(path, np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    save_image(tmp_path / "in/masks/a.png", mask)
    item = DatasetItem("a", path, LoadSettings(resolution=(128, 128)), tmp_path / "in/masks/a.png", "her")
    latents, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    cache = cache_text(latents, DemoTextEncoder())[0]
    answer = train(cache, 2, background_tokens=0.1, mask_loss=MaskLossSettings())
    assert any("background_tokens 0.1: about " in text for text in answer["ui"]["text"])
    assert all(0 < value < 0.5 for value in answer["result"][1]["tokens"])
    assert "maskloss.background_tokens" in MaskLossLoadLora().run(path="loras/x.safetensors")[0].metadata
