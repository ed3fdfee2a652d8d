"""Checkpoints scored while a tiny real model is trained: by what it draws, and by photographs in the place of that."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.sampling import ComfySampling
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import SettingError
from maskloss.core.host.live import LiveRun
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.people.identity import Identity
from maskloss.core.people.references import reference_identity
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.metrics import History
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.scored_lora import best_lora, read_scores
from safetensors import safe_open
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.gallery import Gallery

from benchmarks.photographs import missing_files, read_rgb

from .test_comfy_training import MadeUpText
from .test_sampling import sampling

pytestmark = [pytest.mark.comfy, pytest.mark.models, pytest.mark.photographs]

NAME = "wan"


class Watcher(SilentObserver):
    """Keeps the course of the run as a panel would, and stops it where `stop_at_step` says."""

    def __init__(self, stop_at_step: int = 0) -> None:
        self.live = LiveRun("1", "p", "lora", 4)
        self._stop_at_step = stop_at_step

    def step(self, point: Any, total_steps: int) -> None:
        if point.step == self._stop_at_step:
            raise tiny.management.InterruptProcessingException

    def begin(self, history: History) -> None:
        self.live.begin(history)

    def on_scores(self, scores: CheckpointScores) -> None:
        self.live.on_scores(scores)


@pytest.fixture(scope="module")
def recognizer() -> BundledFaceRecognizer:
    return BundledFaceRecognizer()


@pytest.fixture(scope="module")
def him(recognizer: BundledFaceRecognizer) -> Identity:
    assert not missing_files()
    return reference_identity(recognizer, [("obama", read_rgb("obama.jpg"))])[0]


def _square(name: str) -> np.ndarray:
    rgb_HWC = read_rgb(name)
    side = min(rgb_HWC.shape[:2])
    left = (rgb_HWC.shape[1] - side) // 2
    return np.ascontiguousarray(rgb_HWC[:side, left : left + side])


def _cache(directory: Path) -> LatentCache:
    items = []
    for name in ("obama.jpg", "obama3.jpg"):
        stem, rgb_HWC = Path(name).stem, _square(name)
        mask_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        mask_HW[:, rgb_HWC.shape[1] // 4 : rgb_HWC.shape[1] * 3 // 4] = 255
        save_image(directory / f"{stem}.png", rgb_HWC)
        save_image(directory / "masks" / f"{stem}.png", mask_HW)
        mask = directory / "masks" / f"{stem}.png"
        items.append(DatasetItem(stem, directory / f"{stem}.png", LoadSettings(resolution=(64, 64)), mask, "him"))
    vae = ComfyLatentEncoder(tiny.load_vae("wan"))
    return cache_text(cache_latents(Dataset(tuple(items)), vae, directory / "cache")[0], MadeUpText(NAME))[0]


def _train(
    cache: LatentCache, output: Path, asked: ComfySampling, watcher: Watcher | None = None, **config: Any
) -> TrainResult:
    chosen = TrainConfig(**{"steps": 4, "save_every": 2, "training_dtype": TrainingDtype.FP32, **config})
    settings, optimizer = MaskLossSettings(), OptimizerConfig(learning_rate=0.05)
    recipe = TrainingRecipe(cache, settings, LoraConfig(rank=4, alpha=4), optimizer, chosen)
    with torch.inference_mode(), open_denoiser(tiny.load_model(NAME), cache.empty_text()) as denoiser:
        return train(denoiser, recipe, output, watcher, asked)


def test_a_model_that_draws_no_faces_says_so_everywhere(
    tmp_path: Path, recognizer: BundledFaceRecognizer, him: Identity
) -> None:
    plain = _train(_cache(tmp_path), tmp_path / "plain", sampling(NAME))
    asked = sampling(NAME, batch=2)
    asked = dataclasses.replace(asked, recognizer=recognizer, identity=him, bleed=asked.positive, plain=asked.positive)
    watcher = Watcher()
    result = _train(_cache(tmp_path), tmp_path / "lora", asked, watcher)
    assert all(torch.equal(plain.lora[key], result.lora[key]) for key in plain.lora), "scores leave no trace"
    assert [each.step for each in result.scores] == [0, 2, 4]
    assert {(each.pictures, each.faces, each.likeness, each.bleed) for each in result.scores} == {(2, 0, None, None)}
    assert result.scores[0].drift == 0, "nothing has been trained"
    assert all((each.drift or 0) > 0 for each in result.scores[1:])
    shown = watcher.live.whole()
    assert shown["choice"]["step"] is None
    assert "No checkpoint shows a face in half of its pictures (at most 0 of 2)." in shown["choice"]["reason"]
    sheet = tmp_path / "lora.samples/step_000004.png"
    assert sheet.exists()
    assert (tmp_path / "lora.samples/base.png").exists()
    assert result.loss_map["scores"] == [each.to_json() for each in result.scores]


def test_photographs_in_the_place_of_samples_give_the_right_numbers_and_checkpoint(
    tmp_path: Path, recognizer: BundledFaceRecognizer, him: Identity
) -> None:
    # Before training a stranger, then the person, at last one of the training photographs itself.
    pictures = [_square(name) for name in ("biden.jpg", "obama2.jpg", "obama3.jpg")]
    vae = Gallery(tiny.load_vae("wan"), pictures)
    asked = dataclasses.replace(sampling(NAME), recognizer=recognizer, identity=him, vae=vae)
    cache, watcher = _cache(tmp_path), Watcher()
    result = _train(cache, tmp_path / "lora", asked, watcher)
    before, middle, end = result.scores
    assert before.likeness == before.base_likeness == middle.base_likeness
    assert [each.faces for each in result.scores] == [1, 1, 1]
    assert (before.likeness or 1) < 0.4 < 0.5 < (middle.likeness or 0)
    assert end.copy_of == "obama3"
    assert (end.copy_risk or 0) > 0.25 > (middle.copy_risk or 1)
    assert watcher.live.whole()["choice"]["step"] == 2
    assert [score["step"] for score in watcher.live.whole()["scores"]] == [0, 2, 4]
    chosen, choice = best_lora(tmp_path / "lora.safetensors")
    assert chosen == tmp_path / "lora-step00000002.safetensors"
    assert (choice.step, choice.sure) == (2, False), "one picture is too few to be sure"
    with safe_open(chosen, "pt") as file:
        assert json.loads(file.metadata()["maskloss.scores"]) == middle.to_json()
    assert read_scores(tmp_path / "lora.jsonl") == list(result.scores)

    # Broken off and gone on with, it has the same scores.
    vae = Gallery(tiny.load_vae("wan"), pictures)
    again = dataclasses.replace(asked, vae=vae)
    with pytest.raises(tiny.management.InterruptProcessingException):
        _train(cache, tmp_path / "cut", again, Watcher(stop_at_step=3))
    resumed = _train(cache, tmp_path / "cut", again)
    assert resumed.scores == result.scores
    assert read_scores(tmp_path / "cut.jsonl") == list(result.scores)
    finished = _train(cache, tmp_path / "cut", again)
    assert finished.scores == result.scores


def test_what_scores_need_is_asked_for(recognizer: BundledFaceRecognizer, him: Identity) -> None:
    asked = sampling(NAME)
    with pytest.raises(SettingError, match="recognizer is connected and identity is not"):
        dataclasses.replace(asked, recognizer=recognizer)
    with pytest.raises(SettingError, match="identity is connected and recognizer is not"):
        dataclasses.replace(asked, identity=him)
    with pytest.raises(SettingError, match="connect recognizer and identity as well"):
        dataclasses.replace(asked, plain=asked.positive)
    other = Identity(him.embeddings_NK, "another", him.sources)
    with pytest.raises(SettingError, match="use the same face recognizer for both"):
        dataclasses.replace(asked, recognizer=recognizer, identity=other)
