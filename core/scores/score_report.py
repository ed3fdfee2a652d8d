"""The scores of several pictures together: as JSON, as a sheet to look at, and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..draw.sheet import contact_sheet, shrink
from ..errors import DatasetError
from ..first_names import first_names
from ..progress import SILENT, Progress
from .best_checkpoint import MOST_COPY_RISK
from .picture_scores import PictureScore, PictureScorer, mean_likeness

_CELL_PX, _COLUMNS = 320, 4
_UNKNOWN = "-"


@dataclass(frozen=True, eq=False)
class ScoreReport:
    """(name, score) of each picture, in the order given; `recognizer` is the identity of what measured them."""

    recognizer: str
    scored: tuple[tuple[str, PictureScore], ...]
    warnings: tuple[str, ...]

    @property
    def likeness(self) -> float | None:
        """The mean over the pictures that show a face; None where none does."""
        return mean_likeness([score for _, score in self.scored])

    def to_json(self) -> dict[str, Any]:
        """{"recognizer", "pictures": [{"name", …PictureScore.to_json}], "counts": {"pictures", "with_face"},
        "likeness", "copy_risk" (greatest), "background" (mean), "warnings"}; what was not measured is null."""
        risks = [score.copy_risk for _, score in self.scored if score.copy_risk is not None]
        backgrounds = [score.background for _, score in self.scored if score.background is not None]
        return {
            "recognizer": self.recognizer,
            "pictures": [{"name": name, **score.to_json()} for name, score in self.scored],
            "counts": {
                "pictures": len(self.scored),
                "with_face": sum(score.likeness.faces > 0 for _, score in self.scored),
            },
            "likeness": None if self.likeness is None else round(self.likeness, 4),
            "copy_risk": round(max(risks), 4) if risks else None,
            "background": round(float(np.mean(backgrounds)), 4) if backgrounds else None,
            "warnings": list(self.warnings),
        }

    def sheet(self, pictures: Iterable[np.ndarray], columns: int = _COLUMNS) -> np.ndarray:
        """The uint8 RGB `pictures` in the order of the scores, each with its own below it; uint8 RGB."""
        named = [
            (shrink(picture_HWC, _CELL_PX), f"{name}\n{caption_of(score)}")
            for picture_HWC, (name, score) in zip(pictures, self.scored, strict=True)
        ]
        return contact_sheet(named, columns, _CELL_PX)

    def lines(self) -> list[str]:
        """A table with a heading, a row for each picture, and one for all together."""
        rows = [("picture", "faces", "likeness", "copy risk", "nearest photograph", "background")]
        for name, score in self.scored:
            numbers = (score.likeness.best, score.copy_risk, score.background)
            best, risk, background = (_figure(number) for number in numbers)
            rows.append((name, str(score.likeness.faces), best, risk, score.copy_of or _UNKNOWN, background))
        found = self.to_json()
        counts = found["counts"]
        faces = f"{counts['with_face']} of {counts['pictures']}"
        figures = [_figure(found[name]) for name in ("likeness", "copy_risk", "background")]
        rows.append(("all", faces, figures[0], figures[1], "", figures[2]))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def score_pictures(
    pictures: Sequence[tuple[str, np.ndarray]], scorer: PictureScorer, progress: Progress = SILENT
) -> ScoreReport:
    """Measure (name, rgb_HWC uint8) pictures. DatasetError without any; SettingError when identity and recogniser do
    not belong together."""
    if not pictures:
        raise DatasetError("There is no picture to score: connect pictures, or name a folder that holds some.")
    scored: list[tuple[str, PictureScore]] = []
    for number, (name, rgb_HWC) in enumerate(pictures):
        progress.update(number, len(pictures), name)
        scored.append((name, scorer.score(rgb_HWC)))
    progress.update(len(pictures), len(pictures))
    return ScoreReport(scorer.recognizer.identity, tuple(scored), tuple(_warnings(scored, scorer)))


def caption_of(score: PictureScore) -> str:
    """What was measured of a picture, in one or two lines."""
    likeness = "no face" if score.likeness.best is None else f"likeness {score.likeness.best:.2f}"
    if score.copy_risk is None:
        return likeness
    background = "" if score.background is None else f", background {score.background:.2f}"
    return f"{likeness}{background}\ncopy risk {score.copy_risk:+.2f} ({score.copy_of})"


def _warnings(scored: Sequence[tuple[str, PictureScore]], scorer: PictureScorer) -> list[str]:
    warnings: list[str] = []
    without = [name for name, score in scored if score.likeness.faces == 0]
    if without:
        warnings.append(f"No face was found in {len(without)} of {len(scored)} pictures ({first_names(without)}).")
    copies = [f"{name} of {s.copy_of}" for name, s in scored if (s.copy_risk or 0.0) > MOST_COPY_RISK]
    if copies:
        warnings.append(
            f"{len(copies)} pictures are close to being copies of training photographs ({first_names(copies)})."
        )
    if scorer.training is not None:
        unreadable = scorer.training.unreadable
        if unreadable:
            warnings.append(f"{len(unreadable)} training photographs could not be read ({first_names(unreadable)}).")
        if not scorer.training.backgrounds:
            warnings.append("No training photograph has a mask with a background, so backgrounds are not compared.")
    return warnings


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"
