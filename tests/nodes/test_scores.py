"""Pictures scored by faces made by hand, and the checkpoint that a run's scores name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.core.people.faces import Face
from maskloss.core.people.identity import Identity
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.lora_file import save_lora
from maskloss.core.train.loss_log import LossLog
from maskloss.core.train.metrics import History
from maskloss.nodes.scores import MaskLossBestLora, MaskLossScorePictures


class PaintedFaces:
    """Finds a face where the upper left corner is not black; how like the person it is, its red says."""

    name = identity = "painted/1"
    default_min_similarity = 0.5

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        red = float(rgb_HWC[0, 0, 0]) / 255
        points_K2 = np.full((6, 2), 20.0)
        return [Face(0, (10, 10, 30, 30), 0.9, points_K2, None, np.array([red], np.float32))] if red else []

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return 1.0 - abs(float(a[0]) - float(b[0]))


HER = Identity(np.ones((1, 1), np.float32), PaintedFaces.identity, ("her",))


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    with use_host(LocalHost(tmp_path, tmp_path)) as host:
        yield host


def scene(seed: int, face: float) -> np.ndarray:
    rgb_HWC = np.kron(np.random.default_rng(seed).integers(20, 235, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    rgb_HWC[0, 0] = round(face * 255)
    return rgb_HWC


def images(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255


def test_all_of_a_batch_and_a_list_are_scored(tmp_path: Path) -> None:
    given = [images(scene(1, 1.0), scene(2, 0.6)), images(scene(3, 0.0))]
    answer = MaskLossScorePictures().run(images=given, recognizer=[PaintedFaces()], identity=[HER])
    text, sheet, likeness = answer["result"]
    assert likeness == pytest.approx(0.8)
    report = json.loads(text)
    assert [row["name"] for row in report["pictures"]] == ["picture 1", "picture 2", "picture 3"]
    assert report["counts"] == {"pictures": 3, "with_face": 2}
    assert sheet.shape[0] == 1
    assert answer["ui"]["warnings"] == ["No face was found in 1 of 3 pictures (picture 3)."]


def test_no_face_is_no_number(tmp_path: Path) -> None:
    answer = MaskLossScorePictures().run(images=[images(scene(1, 0))], recognizer=[PaintedFaces()], identity=[HER])
    assert math.isnan(answer["result"][2])
    assert json.loads(answer["result"][0])["likeness"] is None


def test_a_copy_of_a_training_photograph_is_warned_of(tmp_path: Path) -> None:
    paths = [tmp_path / f"set/{seed}.png" for seed in (20, 21, 22)]
    for path in paths:
        save_image(path, scene(int(path.stem), 0))
    dataset = Dataset(tuple(DatasetItem(path.stem, path, LoadSettings()) for path in paths))
    answer = MaskLossScorePictures().run(
        images=[images(scene(21, 1.0))], recognizer=[PaintedFaces()], identity=[HER], dataset=[dataset]
    )
    assert json.loads(answer["result"][0])["pictures"][0]["copy_of"] == "21"
    assert any("picture 1 of 21" in text for text in answer["ui"]["warnings"])


def test_the_best_checkpoint_is_loaded_and_said_with_the_rule(tmp_path: Path) -> None:
    scores = [CheckpointScores(step, 2, 2, likeness, 0.1) for step, likeness in ((0, 0.1), (2, 0.7), (4, 0.3))]
    LossLog(tmp_path / "lora.jsonl", History(scores=scores))
    for name, kept in (("lora-step00000002", scores[1]), ("lora", scores[2])):
        tensors = {
            f"diffusion_model.a.lora_{part}.weight": torch.full((2, 2), kept.step) * 1.0 for part in ("up", "down")
        }
        metadata = {"ss_steps": "4", "maskloss.scores": json.dumps(kept.to_json())}
        save_lora(tmp_path / f"{name}.safetensors", tensors, metadata)
    answer = MaskLossBestLora().run(path="lora.safetensors")
    lora, path = answer["result"]
    assert Path(path) == tmp_path / "lora-step00000002.safetensors"
    assert all(bool((tensor == 2).all()) for tensor in lora.values())
    assert answer["ui"]["text"][0].startswith("lora-step00000002.safetensors: ")
