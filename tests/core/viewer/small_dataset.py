"""A few photographs with masks, opened for the viewer, and the routes over them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.images import save_image
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.viewer.answers import PREFIX, Answers
from maskloss.core.viewer.proposals import Proposals
from maskloss.core.viewer.request import Answer, Request
from maskloss.core.viewer.viewed import ViewedDatasets, view_dataset

SIZE = (40, 30)
SETTINGS = LoadSettings((64, 64))


def small_dataset(folder: Path) -> Dataset:
    """a and b have masks of 128, c is left out and d has none."""
    items: dict[str, DatasetItem] = {}
    for seed, name in enumerate("abcd"):
        pixels = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        save_image(folder / f"photos/{name}.png", pixels)
        mask = folder / f"masks/{name}.png"
        save_image(mask, np.full(SIZE[::-1], 128, np.uint8))
        items[name] = DatasetItem(name, folder / f"photos/{name}.png", SETTINGS, None if name == "d" else mask)
    left = (LeftOut(items["c"], "nobody was found"),)
    return Dataset((items["a"], items["b"], items["d"]), left)


class Browser:
    """Asks the routes as a browser would; `told` is what other tabs hear."""

    def __init__(
        self, folder: Path, faces: Sequence[tuple[float, float, float, float]] = (), dataset: Dataset | None = None
    ) -> None:
        """`faces` are those that Keep Person found in a, the first of which it chose."""
        self.folder, self.told = folder, []
        self.store = CorrectionStore(folder / "corrections")
        dataset = _with_faces(small_dataset(folder), faces) if dataset is None else dataset
        self.viewed = view_dataset(dataset, "Build Masks", [], self.store, folder / "thumbnails")
        datasets = ViewedDatasets()
        datasets.keep(self.viewed)
        self.proposals = Proposals()
        answers = Answers(datasets, lambda event, said: self.told.append((event, dict(said))), self.proposals)
        self._routes = {(method, path): answer for method, path, answer in answers.routes()}

    def id(self, name: str) -> str:
        return next(each.id for each in self.viewed.items if each.item.name == name)

    def ask(
        self, method: str, end: str = "", name: str = "a", query: Mapping[str, object] | None = None,
        body: bytes = b"", kind: str = "", **wrong: str,
    ) -> Answer:  # fmt: skip
        path = "/{dataset}" if end == "list" else "/{dataset}/{item}" + (f"/{end}" if end else "")
        identifier = wrong.get("item") or (self.id(name) if name else "")
        texts = {key: str(value) for key, value in (query or {}).items()}
        request = Request(wrong.get("dataset") or self.viewed.id, identifier, texts, kind, body)
        return self._routes[method, path](request)

    def get(self, end: str = "", name: str = "a", **query: object) -> Answer:
        return self.ask("GET", end, name, query)

    def post(self, end: str, content: object, name: str = "a", **query: object) -> Answer:
        return self.ask("POST", end, name, query, json.dumps(content).encode(), "application/json")

    def paint(self, values_HW: np.ndarray, painted_HW: np.ndarray, revision: str = "", name: str = "a", **at: object):
        height, width = values_HW.shape
        planes = np.stack([values_HW, painted_HW * np.uint8(255)]).astype(np.uint8)
        query = {"left": 0, "top": 0, "width": width, "height": height, "revision": revision, "client": "me", **at}
        body = zlib.compress(planes.tobytes())
        return self.ask("POST", "correction", name, query, body, "application/octet-stream")


def _with_faces(dataset: Dataset, faces: Sequence[tuple[float, float, float, float]]) -> Dataset:
    if not faces:
        return dataset
    scores = tuple(FaceScore(index, box, 0.7, index == 0) for index, box in enumerate(faces))
    person = PersonDecision(scores, Outcome.MATCH, 0, "alike", needed=0.5)
    return replace(dataset, items=(replace(dataset.items[0], person=person), *dataset.items[1:]))


def content(answer: Answer) -> Any:
    return json.loads(answer.body)


__all__ = ["PREFIX", "SIZE", "Browser", "content", "small_dataset"]
