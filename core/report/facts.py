"""What is known about a run, put into words: for the report's page, and in ten lines for a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..dataset.items import Dataset, MaskOrigin
from ..draw.charts import Curve, histogram, line_chart
from ..draw.levels import ROUND_WEIGHTS
from ..draw.overlay import weight_colours
from ..errors import PathError
from ..first_names import first_names
from ..mask_weights import MaskLossSettings
from ..people.decision import PersonDecision
from ..tensor_files import open_tensors
from ..train.metrics import INSIDE, LOSS, OUTSIDE, STEP_METRICS, VALIDATION, Drawn, Metric, person_metrics
from .page import Checkpoints, Legend, Page, Photograph

_NAMED = 6
_LORA_FACTS = (
    ("modelspec.architecture", "architecture"),
    ("ss_network_dim", "rank"),
    ("ss_network_alpha", "alpha"),
    ("ss_steps", "steps"),
    ("ss_optimizer", "optimizer"),
    ("ss_learning_rate", "learning rate"),
    ("ss_seed", "seed"),
    ("maskloss.crops", "crops"),
    ("maskloss.background_tokens", "background tokens"),
)


@dataclass(frozen=True)
class Lora:
    """A LoRA file, its size, and what it says about itself."""

    path: Path
    bytes: int
    metadata: Mapping[str, str]

    @property
    def mask_loss_off(self) -> bool:
        """Whether it says that it was trained without masks."""
        return self.metadata.get("maskloss.mask_loss") == "off"

    @property
    def settings(self) -> MaskLossSettings | None:
        """The mask-loss settings that it names; None where it was trained without, or by something else than us."""
        try:
            stored: dict[str, Any] = json.loads(self.metadata["maskloss.mask_loss"])
            return MaskLossSettings(**stored)
        except (KeyError, ValueError, TypeError):
            return None


def read_lora(path: Path) -> Lora:
    """Size and metadata of a safetensors file. PathError when it is missing or is none."""
    if not path.is_file():
        raise PathError(f"There is no LoRA at {path}: give the path that training returned, or leave lora_path empty.")
    try:
        with open_tensors(path) as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
    except (SafetensorError, OSError) as problem:
        raise PathError(f"{path} is no safetensors file ({problem}): give the path of a LoRA.") from problem
    return Lora(path, path.stat().st_size, metadata)


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What is known about the run, put into the page's and the terminal's words."""

    dataset: Dataset | None
    cache: LatentCache | None
    loss: Mapping[str, Sequence[Any]] | None
    lora: Lora | None
    settings: MaskLossSettings | None
    guessed: int
    given: tuple[tuple[str, str], ...] = ()

    def page(
        self, kept: Sequence[Photograph], left_out: Sequence[Photograph], checkpoints: Checkpoints | None = None
    ) -> Page:
        coverage = [entry.coverage for entry in self._learnt]
        known = () if self.settings is None else dataclasses.fields(self.settings)
        return Page(
            tiles=self._tiles(),
            warnings=self._warnings(),
            loss_chart=line_chart(self._curves(), "optimizer step", "loss") + self._strips(),
            loss_legend=self._loss_legend(),
            loss_text="Every step is drawn faint, the moving mean strong. " + " ".join(self._loss_lines()),
            coverage_chart=histogram(coverage, "coverage") if coverage else "",
            coverage_text=f"{self._coverage_line()}; the mean weight on the latent grid, before the settings act.",
            counts=self._counts(),
            result=self._result(),
            settings=tuple((field.name, _word(getattr(self.settings, field.name))) for field in known),
            weight_legend=weight_legend(ROUND_WEIGHTS),
            kept=tuple(kept),
            left_out=tuple(left_out),
            checkpoints=checkpoints,
        )

    def lines(self, index: Path) -> list[str]:
        """At most ten lines for a terminal."""
        lines: list[str] = []
        if self.dataset is not None:
            kept, gone = self.dataset.photographs
            apart = "".join(f"; {name}: {what}" for name, what in self.dataset.counted_apart)
            lines.append(f"Photographs: {kept + gone} found, {kept} kept, {gone} left out{apart}")
            lines += [f"  kept: {first_names(self._kept_words(), _NAMED)}"] if kept else []
            lines += [f"  left out: {first_names(self._left_out_words(), _NAMED)}"] if self.dataset.left_out else []
        if self.cache is not None:
            lines.append(self._sources_line())
            lines.append(self._coverage_line())
        lines += self._loss_lines()
        lines += list(self._warnings())[:1]
        if self.lora is not None:
            lines.append(f"LoRA: {self.lora.path} ({_size(self.lora.bytes)})")
        return [*lines[:9], f"Report: {index}"]

    @property
    def _learnt(self) -> Sequence[CacheEntry]:
        return [] if self.cache is None else [entry for entry in self.cache.entries if not entry.regularisation]

    def _tiles(self) -> tuple[tuple[str, str], ...]:
        tiles: list[tuple[str, str]] = []
        if self.dataset is not None:
            kept, gone = self.dataset.photographs
            tiles += [("photographs kept", str(kept)), ("left out", str(gone)), *self.dataset.counted_apart]
        if self._learnt:
            tiles.append(("mean coverage", f"{np.mean([entry.coverage for entry in self._learnt]):.1%}"))
        steps = len(self.loss["loss"]) if self.loss and "loss" in self.loss else 0
        tiles += [("optimizer steps", str(steps))] if steps else []
        for metric in (INSIDE, OUTSIDE, *person_metrics(self.loss or {})):
            ends = self._ends(metric)
            if ends is not None:
                first, last = ("–" if value is None else f"{value:.3f}" for value in ends)
                tiles.append((f"loss {metric.title}", f"{first} → {last}"))
        if self.lora is not None:
            tiles.append(("LoRA", _size(self.lora.bytes)))
        return tuple(tiles)

    def own_warnings(self) -> tuple[str, ...]:
        """What the run has to be warned of and nobody else has said."""
        warnings: list[str] = []
        if self.guessed:
            warnings.append(
                f"The part segmenter is approximate: it guessed face, hair and body in {self.guessed} photographs."
            )
        filled = 0 if self.cache is None else self.cache.origin_counts().get(MaskOrigin.NONE, 0)
        if filled:
            warnings.append(f"{filled} items had no mask (no alpha + no file). Filled with full-weight (255).")
        if self.lora is not None and self.lora.mask_loss_off:
            warnings.append("This LoRA was trained without mask loss: every part of every picture counted fully.")
        said = {text for _, text in self.given}
        return tuple(text for text in warnings if text not in said)

    def _warnings(self) -> tuple[str, ...]:
        givers: dict[str, list[str]] = {}
        for giver, text in self.given:
            givers.setdefault(text, []).append(giver)
        return (*(f"{', '.join(who)}: {text}" for text, who in givers.items()), *self.own_warnings())

    def _curves(self) -> list[Curve]:
        if self.loss is None:
            return []
        # Of the loss in all no more than its regions tell.
        drawn = (INSIDE, OUTSIDE) if self._ends(INSIDE) or self._ends(OUTSIDE) else (LOSS,)
        more = [metric for metric in STEP_METRICS if metric.unit == LOSS.unit and metric not in (LOSS, INSIDE, OUTSIDE)]
        curves = [_curve(m, self.loss[m.name]) for m in (*drawn, *more, *person_metrics(self.loss)) if self._ends(m)]
        if validation := self.loss.get(VALIDATION.name):
            steps, values = zip(*validation, strict=True)
            curves.append(Curve(VALIDATION.title, VALIDATION.tone, steps, values, dots=True))
        return curves

    def _strips(self) -> str:
        """A chart for each figure that has a scale of its own."""
        apart = [metric for metric in STEP_METRICS if metric.drawn is Drawn.STRIP and metric.unit != LOSS.unit]
        curves = [_curve(metric, (self.loss or {})[metric.name]) for metric in apart if self._ends(metric)]
        return "".join(line_chart([curve], "optimizer step", curve.name) for curve in curves)

    def _loss_legend(self) -> tuple[Legend, ...]:
        return tuple(Legend(f"var(--{curve.tone})", curve.name) for curve in self._curves())

    def _ends(self, metric: Metric) -> tuple[float | None, float | None] | None:
        """Means of a curve's first and last tenth (a person's: of the steps that have it); None without any value."""
        steps = (self.loss or {}).get(metric.name, ())
        values = [value for value in steps if not (value is None and metric.optional)]
        tenth = max(1, len(values) // 10)
        return (_mean(values[:tenth]), _mean(values[-tenth:])) if _mean(values) is not None else None

    def _loss_lines(self) -> list[str]:
        """Mean loss of the first and last tenth, in a sentence for each region."""
        lines: list[str] = []
        for metric in (INSIDE, OUTSIDE) if self._ends(INSIDE) else (LOSS,):
            ends = self._ends(metric)
            if ends is not None:
                values, name = (self.loss or {})[metric.name], "in all" if metric is LOSS else metric.title
                empty = sum(value is None for value in values)
                why = "" if metric is INSIDE else ", or not predicted"
                without = f", {empty} without: that part of the picture was empty{why}" if empty else ""
                first, last = ("no value" if value is None else f"{value:.4f}" for value in ends)
                lines.append(f"Loss {name}: {first} at first, {last} at last ({len(values)} steps{without}).")
        return lines

    def _sources_line(self) -> str:
        counts = {} if self.cache is None else self.cache.origin_counts()
        return "Mask sources: " + ", ".join(f"{origin.value}={counts.get(origin, 0)}" for origin in MaskOrigin)

    def _coverage_line(self) -> str:
        values = [entry.coverage for entry in self._learnt]
        if not values:
            return "Coverage: nothing is cached"
        return f"Coverage: mean {np.mean(values):.1%}, least {min(values):.1%}, most {max(values):.1%}"

    def _counts(self) -> tuple[tuple[str, str], ...]:
        rows: list[tuple[str, str]] = []
        if self.dataset is not None:
            kept, gone = self.dataset.photographs
            rows += [("photographs found", str(kept + gone)), ("kept", str(kept)), ("left out", str(gone))]
            rows += self.dataset.counted_apart
        if self.cache is not None:
            counts = self.cache.origin_counts()
            rows.append(("cached", str(len(self.cache.entries))))
            rows += [(f"mask from {origin.value}", str(counts.get(origin, 0))) for origin in MaskOrigin]
            rows.append(("filled with full weight", str(counts.get(MaskOrigin.NONE, 0))))
        return tuple(rows)

    def _result(self) -> tuple[tuple[str, str], ...]:
        if self.lora is None:
            return ()
        known = [(name, self.lora.metadata[key]) for key, name in _LORA_FACTS if key in self.lora.metadata]
        return (("file", str(self.lora.path)), ("size", f"{_size(self.lora.bytes)} ({self.lora.bytes} bytes)"), *known)

    def _kept_words(self) -> list[str]:
        return [
            item.name if item.person is None else f"{item.name} ({_best(item.person)})"
            for item in (self.dataset.items if self.dataset else ())
            if not item.regularisation
        ]

    def _left_out_words(self) -> list[str]:
        return [
            each.item.name + ("" if each.item.person is None else f" ({_best(each.item.person)})")
            for each in (self.dataset.left_out if self.dataset else ())
        ]


def _curve(metric: Metric, values: Sequence[float | None]) -> Curve:
    """A curve over the optimizer steps that have a value."""
    known = [(step, value) for step, value in enumerate(values, 1) if value is not None]
    return Curve(metric.title, metric.tone, [step for step, _ in known], [value for _, value in known])


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are numbers; None where none is."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None


def weight_legend(values: Sequence[int]) -> tuple[Legend, ...]:
    """The colours of weights, of 255."""
    colours = weight_colours(np.array([values]) / 255.0)[0].tolist()
    return tuple(
        Legend(f"rgb({red},{green},{blue})", f"weight {value / 255:.2f} ({value})")
        for value, (red, green, blue) in zip(values, colours, strict=True)
    )


def _best(decision: PersonDecision) -> str:
    """The chosen face's similarity, or where nobody was chosen the best there was."""
    known = [face.similarity for face in decision.faces if face.similarity is not None]
    if decision.chosen is not None:
        similarity = decision.faces[decision.chosen].similarity
        return f"face {decision.chosen}" + ("" if similarity is None else f" {similarity:.2f}")
    return f"best {max(known):.2f}" if known else "no face"


def _word(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
