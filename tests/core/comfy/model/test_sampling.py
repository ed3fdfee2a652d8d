"""Sample pictures by ComfyUI's own sampler, VAE and schedules, from tiny real models while they are trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.sampling import ComfySampling, select_frames
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import SettingError, TrainingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import load_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.sampling import sample_sheet
from maskloss.core.warning import collect_warnings
from maskloss.nodes.sampling import MaskLossSampling
from maskloss.nodes.training import MaskLossTrainLora
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

from .test_comfy_training import make_cache

import comfy.samplers  # isort: skip

pytestmark = pytest.mark.comfy

MODELS = ("wan", "flux", "sd15")


class Watcher(SilentObserver):
    """Keeps what is said, and interrupts as ComfyUI does where `stops` says so of the number of checks."""

    def __init__(self, stop_at_check: int = 0) -> None:
        self.texts: list[str] = []
        self.checks = 0
        self._stop_at_check = stop_at_check

    def say(self, text: str) -> None:
        self.texts.append(text)

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._stop_at_check:
            raise tiny.management.InterruptProcessingException


def sampling(name: str, frames: int = 1, batch: int = 1, **other: Any) -> ComfySampling:
    """Everything as ComfyUI's nodes make it: inference tensors."""
    with torch.inference_mode():
        text = tiny.text_for(name, seed=3)
        conditioning = [[text.pop("cross_attn"), text]]
        channels, _, height, width = tiny.latent_shape(name)
        shape = (batch, channels, *([frames] if tiny.takes_videos(name) else []), height, width)
        schedule = tiny.load_model(name).get_model_object("model_sampling")
        return ComfySampling(
            positive=conditioning,
            latent={"samples": torch.zeros(shape)},
            vae=other.pop("vae", None) or vae_for(name),
            sampler=comfy.samplers.sampler_object("euler_ancestral"),
            sigmas=comfy.samplers.calculate_sigmas(schedule, "simple", 3),
            negative=other.pop("negative", conditioning),
            **{"cfg": 2.0, "seed": 5, "every": 2, **other},
        )


def vae_for(name: str) -> Any:
    return tiny.load_vae({"sd15": "sd", "flux": "flux", "wan": "wan"}[name])


def run(
    name: str,
    directory: Path,
    output: str,
    sampling: ComfySampling | None,
    watcher: Watcher | None = None,
    **config: Any,
) -> TrainResult:
    cache = make_cache(name, directory)
    chosen = TrainConfig(**{"steps": 3, "training_dtype": TrainingDtype.FP32, **config})
    lora = LoraConfig(rank=4, alpha=4, dropout=0.2)
    recipe = TrainingRecipe(cache, MaskLossSettings(), lora, OptimizerConfig(learning_rate=0.05), chosen)
    with torch.inference_mode(), open_denoiser(tiny.load_model(name), cache.empty_text()) as denoiser:
        return train(denoiser, recipe, directory / output, watcher, sampling)


@pytest.mark.parametrize(("name", "checkpointing"), [("wan", False), ("flux", True), ("sd15", False)])
def test_pictures_show_the_training_and_leave_no_trace_in_it(name: str, checkpointing: bool, tmp_path: Path) -> None:
    before = tiny.sampled(tiny.load_model(name), name)
    state = torch.get_rng_state()
    plain = run(name, tmp_path, "plain", None, gradient_checkpointing=checkpointing)
    watched = run(name, tmp_path, "watched", sampling(name), gradient_checkpointing=checkpointing)
    assert plain.points == watched.points
    assert all(torch.equal(plain.lora[key], watched.lora[key]) for key in plain.lora)
    assert torch.equal(state, torch.get_rng_state())
    assert not tiny.management.in_training
    assert torch.equal(tiny.sampled(tiny.load_model(name), name), before)
    files = sorted((tmp_path / "watched.samples").iterdir())
    assert [file.name for file in files] == [f"step_{step:06d}.png" for step in (0, 2, 3)]
    pictures = [load_image(file)[0] for file in files]
    assert all(picture.shape == (64, 64, 3) for picture in pictures)
    assert all(not np.array_equal(one, two) for one, two in itertools.pairwise(pictures))
    assert all(picture.std() > 1 for picture in pictures)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_picture_is_what_comfyui_draws_without_us_and_the_last_what_it_draws_with_the_lora(
    name: str, tmp_path: Path
) -> None:
    asked = sampling(name)
    result = run(name, tmp_path, "lora", asked)
    drawn = [load_image(tmp_path / f"lora.samples/step_{step:06d}.png")[0].astype(int) for step in (0, 3)]
    with torch.inference_mode():
        model = tiny.load_model(name)
        patched, _ = tiny.comfy.sd.load_lora_for_models(model, None, dict(result.lora), 1.0, 0.0)
        expected = [by_comfyui_alone(each, asked).astype(int) for each in (tiny.load_model(name), patched)]
    assert np.abs(drawn[0] - expected[0]).max() == 0
    # The LoRA beside the layer rounds otherwise than merged into its weight.
    assert np.abs(drawn[1] - expected[1]).max() <= 2
    assert np.abs(expected[0] - expected[1]).max() > 2


def by_comfyui_alone(model: Any, asked: ComfySampling) -> np.ndarray:
    latent = asked.latent["samples"]
    with torch.random.fork_rng([]):
        noise = tiny.comfy.sample.prepare_noise(latent, asked.seed)
        samples = tiny.comfy.sample.sample_custom(
            model, noise, asked.cfg, asked.sampler, asked.sigmas, asked.positive, asked.negative, latent,
            disable_pbar=True, seed=asked.seed,
        )  # fmt: skip
    return sample_sheet({"positive": select_frames(asked.vae.decode(samples).float())})


def test_without_a_negative_prompt_there_is_no_guidance(tmp_path: Path) -> None:
    run("flux", tmp_path, "alone", sampling("flux", negative=None, cfg=7.0), steps=1)
    run("flux", tmp_path, "one", sampling("flux", cfg=1.0), steps=1)
    first, second = (tmp_path / f"{name}.samples/step_000001.png" for name in ("alone", "one"))
    assert np.array_equal(load_image(first)[0], load_image(second)[0])


def test_a_video_is_shown_as_a_strip_of_frames_and_a_batch_as_rows(tmp_path: Path) -> None:
    run("wan", tmp_path, "lora", sampling("wan", frames=3, batch=2), steps=1)
    picture = load_image(tmp_path / "lora.samples/step_000001.png")[0]
    assert picture.shape == (2 * 64, 4 * 64, 3), "nine frames, four of them shown"
    assert not np.array_equal(picture[:64], picture[64:])


def test_frames_of_a_strip_are_spread_evenly() -> None:
    frames = torch.arange(9).float().div(255).reshape(1, 9, 1, 1, 1).expand(1, 9, 2, 2, 3)
    assert select_frames(frames)[0, :, 0, 0, 0].tolist() == [0, 3, 5, 8]
    assert select_frames(frames[:, :1]).shape == (1, 1, 2, 2, 3)
    assert select_frames(frames[:, 0]).shape == (1, 1, 2, 2, 3)


class Failing:
    """A VAE whose memory does not suffice from its second picture on."""

    def __init__(self, vae: Any) -> None:
        self._vae, self.patcher, self.calls = vae, vae.patcher, 0

    def decode(self, samples: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._vae.decode(samples)


def test_a_vae_out_of_memory_is_a_warning_and_training_goes_on(tmp_path: Path) -> None:
    plain = run("wan", tmp_path, "plain", None)
    with collect_warnings() as warnings:
        result = run("wan", tmp_path, "lora", sampling("wan", vae=Failing(vae_for("wan"))))
    assert all(torch.equal(plain.lora[key], result.lora[key]) for key in plain.lora)
    assert sum("No sample picture" in text for text in warnings.texts) == 2
    assert not tiny.management.in_training


@pytest.mark.parametrize("name", ["wan", "flux"])
def test_an_interrupt_in_the_sampler_leaves_a_lora_and_the_model_as_it_was(name: str, tmp_path: Path) -> None:
    model = tiny.load_model(name)
    before = tiny.sampled(model, name)
    whole = run(name, tmp_path, "whole", sampling(name))
    with pytest.raises(tiny.management.InterruptProcessingException):
        # Three sampler steps and the one before decoding, two micro-batches, and into the second picture.
        run(name, tmp_path, "cut", sampling(name), Watcher(stop_at_check=8))
    assert not tiny.management.in_training
    assert torch.equal(tiny.sampled(model, name), before)
    assert not (tmp_path / "cut.samples/step_000002.png").exists()
    result = run(name, tmp_path, "cut", sampling(name))
    assert all(torch.equal(whole.lora[key], result.lora[key]) for key in whole.lora)
    assert (tmp_path / "cut.samples/step_000002.png").exists()


def test_the_global_generators_are_as_they_were_after_a_sample_that_failed(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    broken = sampling("wan", vae=Failing(vae_for("wan")))
    broken.vae.calls = 1
    with pytest.raises(torch.OutOfMemoryError):
        run("wan", tmp_path, "lora", broken)
    assert torch.equal(state, torch.get_rng_state())


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(TrainingError, match="the demo model is none"):
        sampling("wan").draw(DemoDenoiser(), lambda: None)
    with pytest.raises(SettingError, match="every must be at least 1"):
        sampling("wan", every=0)
    with pytest.raises(SettingError, match="sigmas has 0 values"):
        ComfySampling([], {"samples": torch.zeros(1, 4, 8, 8)}, None, None, torch.zeros(0))


def test_the_nodes_sample_and_a_finished_run_comes_back_without_loading_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache("wan", tmp_path)
    asked = sampling("wan")
    with use_host(LocalHost(tmp_path, tmp_path)), torch.inference_mode():
        (connected,) = MaskLossSampling().run(
            asked.positive, asked.latent, asked.vae, asked.sampler, asked.sigmas, asked.negative, every=1
        )
        inputs = {
            "cache": cache, "steps": 2, "sampling": connected, "output_name": "lora", "lora_config": LoraConfig(rank=4)
        }  # fmt: skip
        first = MaskLossTrainLora().run(tiny.load_model("wan"), **inputs)
        (shown,) = first["ui"]["images"]
        last = load_image(tmp_path / "lora.samples/step_000002.png")[0]
        assert np.array_equal(load_image(tmp_path / shown["subfolder"] / shown["filename"])[0], last)

        def load(*_: object, **__: object) -> None:
            raise AssertionError("the model was loaded")

        monkeypatch.setattr(tiny.management, "load_models_gpu", load)
        again = MaskLossTrainLora().run(tiny.load_model("wan"), **inputs)
    assert any("nothing to train" in text for text in again["ui"]["text"])
    assert len(again["ui"]["images"]) == 1
    assert all(torch.equal(first["result"][0][key], again["result"][0][key]) for key in first["result"][0])
