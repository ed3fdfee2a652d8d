"""ComfyUI's edit models trained by the loop from control images, and the LoRAs back in ComfyUI's own edit graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.references import REFERENCE
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.references import ReferenceMethod
from maskloss.core.comfy.model.sampling import ComfySampling
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import TrainingError
from maskloss.core.images import load_image, save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.warning import collect_warnings
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy

NAMES = (
    "flux", "flux2", "longcat", "qwen_image", "mage_flow", "joy_image", "omnigen2", "boogu", "krea2",
)  # fmt: skip
# Of those that ignore references without.
METHODS = {"krea2": ReferenceMethod.INDEX_TIMESTEP_ZERO}


class Channels(DemoLatentEncoder):
    """The demo autoencoder with as many channels as the model has."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.identity = f"demo-{channels}"

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        latents = super().encode(rgb_BTHWC)
        return latents.repeat(1, self.channels // latents.shape[1], 1, 1, 1)


class MadeUpText:
    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = f"made-up-{name}"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return tiny.text_for(self.name, length=4 + len(caption) % 3, seed=len(caption))


def made(name: str, tmp_path: Path, control_seed: int, mask: np.ndarray) -> LatentCache:
    """Three photographs: with one control image, with two, and with one of another shape."""
    generator, controls = np.random.default_rng(0), np.random.default_rng(control_seed)
    items: list[DatasetItem] = []
    for stem, shapes in {"a": [(32, 32)], "bb": [(32, 32), (32, 32)], "c": [(16, 48)]}.items():
        path = tmp_path / f"{stem}.png"
        save_image(path, generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        save_image(tmp_path / "masks" / f"{stem}.png", mask)
        own: list[Path] = []
        for number, shape in enumerate(shapes):
            own.append(tmp_path / f"control{control_seed}" / f"{stem}_{number}.png")
            save_image(own[-1], controls.integers(0, 256, (*shape, 3), dtype=np.uint8))
        item = DatasetItem(stem, path, LoadSettings((32, 32)), tmp_path / "masks" / f"{stem}.png", f"caption {stem}")
        items.append(replace(item, control_path=own[0], more_controls=tuple(own[1:]), wants_control=True))
    encoder = Channels(tiny.latent_shape(name)[0])
    cache, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / f"cache{control_seed}")
    return cache_text(cache, MadeUpText(name))[0]


def run(
    name: str, cache: LatentCache, output: Path, sampling: ComfySampling | None = None, **config: Any
) -> TrainResult:
    chosen = {"steps": 3, "batch_size": 3, "training_dtype": TrainingDtype.FP32, **config}
    model, method = tiny.load_model(name), METHODS.get(name, ReferenceMethod.AUTO)
    with torch.inference_mode(), open_denoiser(model, cache.example_text(), method=method) as denoiser:
        lora, optimizer = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01)
        recipe = TrainingRecipe(cache, MaskLossSettings(), lora, optimizer, TrainConfig(**chosen))
        return train(denoiser, recipe, output, sampling=sampling)


def sampled(patcher: Any, name: str, cache: LatentCache) -> torch.Tensor:
    """What ComfyUI's own sampler makes with a reference."""
    channels, frames, height, width = tiny.latent_shape(name, height=12)
    shape = (1, channels, frames, height, width) if tiny.takes_videos(name) else (1, channels, height, width)
    (given,) = list(cache.references(cache.entries[0]).values())
    text = tiny.text_for(name, seed=3)
    reference = given if tiny.takes_videos(name) else given[:, :, 0]
    placed = {"reference_latents_method": METHODS[name].value} if name in METHODS else {}
    positive = [[text.pop("cross_attn"), {**text, "reference_latents": [reference], **placed}]]
    with torch.inference_mode():
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
        return comfy.sample.sample(
            patcher, noise, 2, 1.0, "euler", "simple", positive, positive, torch.zeros(shape), disable_pbar=True, seed=0
        ).clone()


@pytest.mark.parametrize("name", NAMES)
def test_from_control_images_to_a_lora_that_acts_in_comfyuis_edit_graph(name: str, tmp_path: Path) -> None:
    half = np.zeros((32, 32), np.uint8)
    half[:, :16] = 255
    cache = made(name, tmp_path, 1, half)
    assert [entry.references for entry in cache.entries] == [1, 2, 1]
    before = sampled(tiny.load_model(name), name, cache)
    result = run(name, cache, tmp_path / "lora")
    assert all(np.isfinite(point.loss) for point in result.points)
    other = run(name, made(name, tmp_path, 2, half), tmp_path / "other")
    assert result.points[0].loss != other.points[0].loss, "the same photographs with other control images"
    assert torch.equal(sampled(tiny.load_model(name), name, cache), before)
    file = comfy.utils.load_torch_file(str(result.path))
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file)
    assert not torch.equal(sampled(patched, name, cache), before)


@pytest.mark.parametrize("name", ["flux", "qwen_image"])
def test_a_batch_trains_as_its_accumulation(name: str, tmp_path: Path) -> None:
    cache = made(name, tmp_path, 1, np.full((32, 32), 128, np.uint8))
    batch = run(name, cache, tmp_path / "batch", steps=2)
    one = run(
        name, cache, tmp_path / "one", steps=2, batch_size=1, gradient_accumulation_steps=3,
        gradient_checkpointing=False,
    )  # fmt: skip
    for first, second in zip(batch.points, one.points, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=1e-4)
        assert first.grad_norm == pytest.approx(second.grad_norm, rel=1e-3)


def test_background_tokens_are_refused(tmp_path: Path) -> None:
    cache = made("flux", tmp_path, 1, np.full((32, 32), 128, np.uint8))
    with pytest.raises(TrainingError, match=r"background_tokens is 0\.5, and the cache has control images"):
        run("flux", cache, tmp_path / "lora", background_tokens=0.5)


def test_a_text_model_ignores_them(tmp_path: Path) -> None:
    cache = made("wan", tmp_path, 1, np.full((32, 32), 128, np.uint8))
    assert any(name.startswith(REFERENCE) for name in cache.example_text())
    assert np.isfinite(run("wan", cache, tmp_path / "lora").points[0].loss)


def asked(*references: torch.Tensor, **more: str) -> ComfySampling:
    """Sample pictures of Flux by a prompt with those references."""
    with torch.inference_mode():
        text = tiny.text_for("flux", seed=3)
        own = {"reference_latents": list(references), **more} if references else {}
        positive = [[text.pop("cross_attn"), {**text, **own}]]
        latent = {"samples": torch.zeros(1, 16, 8, 8)}
        sampler = comfy.samplers.sampler_object("euler")
        return ComfySampling(positive, latent, tiny.load_vae("flux"), sampler, torch.tensor([1.0, 0.5, 0.0]), every=2)


def test_sample_pictures_are_of_the_prompts_reference_and_a_prompt_without_is_warned_of(tmp_path: Path) -> None:
    cache = made("flux", tmp_path, 1, np.full((32, 32), 128, np.uint8))
    one, other = (torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    pictures: dict[str, np.ndarray] = {}
    for name, references in {"one": (one,), "same": (one.clone(),), "other": (other,), "none": ()}.items():
        with collect_warnings() as given:
            run("flux", cache, tmp_path / name, asked(*references), steps=2)
        assert any("brings no picture to edit" in text for text in given.texts) == (name == "none")
        pictures[name] = load_image(tmp_path / f"{name}.samples/step_000002.png")[0]
    assert np.array_equal(pictures["one"], pictures["same"])
    assert not np.array_equal(pictures["one"], pictures["other"])
    assert not np.array_equal(pictures["one"], pictures["none"])


@pytest.mark.parametrize(("trained", "sampled", "warned"), [("auto", "", 0), ("auto", "offset", 0), ("index", "", 1)])
def test_sampling_by_another_method_than_the_trained_one_is_warned_of(
    trained: str, sampled: str, warned: int, tmp_path: Path
) -> None:
    cache = made("flux", tmp_path, 1, np.full((32, 32), 128, np.uint8))
    more = {"reference_latents_method": sampled} if sampled else {}
    asking = asked(torch.randn(1, 16, 8, 8), **more)
    with open_denoiser(tiny.load_model("flux"), cache.example_text(), method=ReferenceMethod(trained)) as denoiser:
        notes = asking.notes(denoiser, cache)
    assert len(notes) == warned
    assert all("the method index in training, and by offset in the positive prompt" in note for note in notes)
