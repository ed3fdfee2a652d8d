"""A small run to report on, and the words and pictures of a written page."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import torch
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.images import load_image, save_image
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.train.lora_file import save_lora

SETTINGS = LoadSettings(resolution=(128, 128), bucket_step=16)

LOSS = {
    "loss": [1.0, 0.5],
    "inside": [1.0, 0.5],
    "outside": [1.0, 0.9],
    "coverage": [0.2, 0.2],
    "learning_rate": [1e-4, 1e-4],
    "grad_norm": [1.0, 1.0],
}


class HalvesSegmenter:
    """The left half is face, the right half body."""

    name = "halves"
    identity = "halves/1"
    approximate = True

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.full(rgb_HWC.shape[:2], 3, np.uint8)
        label_HW[:, : rgb_HWC.shape[1] // 2] = 1
        return PartMap(label_HW, SCHEMES["maskloss_4"], self.approximate)


def draw_photo(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    small_HWC = rng.integers(60, 200, (8, 12, 1), dtype=np.uint8).repeat(3, axis=2)
    save_image(path, small_HWC.repeat(16, axis=0).repeat(16, axis=1))
    return path


def decision_of(outcome: Outcome, chosen: int | None, *similarities: float) -> PersonDecision:
    faces = tuple(
        FaceScore(i, (20.0 + 60 * i, 40.0, 60.0 + 60 * i, 90.0), similarity, i == chosen)
        for i, similarity in enumerate(similarities)
    )
    return PersonDecision(faces, outcome, chosen, "face 0 matches with 0.71 (0.50 needed)", 0.25)


def write_lora(path: Path, metadata: dict[str, str]) -> Path:
    tensors = {
        "diffusion_model.a.lora_up.weight": torch.zeros(4, 2),
        "diffusion_model.a.lora_down.weight": torch.zeros(2, 4),
        "diffusion_model.a.alpha": torch.tensor(2.0),
    }
    save_lora(path, tensors, metadata)
    return path


class PageReader(HTMLParser):
    """The pictures and the words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def read_page(index: Path) -> PageReader:
    return PageReader(index.read_text(encoding="utf-8"))


def figure_of(index: Path, title: str, name: str) -> np.ndarray:
    """The picture with this title of this photograph."""
    page = index.read_text(encoding="utf-8")
    alt = re.escape(html.escape(f"{title} of {name}"))
    found = re.search(rf'<img [^>]*src="([^"]+)"[^>]*alt="{alt}"', page)
    assert found, f"no {title} of {name}"
    return load_image(index.parent / found[1])[0]
