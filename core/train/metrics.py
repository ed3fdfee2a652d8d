"""What is measured while a LoRA is trained: every figure once, with its name, its unit, and how it is drawn.

Log, LOSS_MAP, TensorBoard, the panel in the graph editor and the report read this; a new figure of the optimizer steps
is a field of `LossPoint` and a line of `STEP_METRICS`, and the place where it is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..scores.checkpoint_scores import CheckpointScores

ValidationPoint = tuple[int, float]


class Drawn(str, Enum):
    """Where a figure is drawn: in the chart of losses, in a strip below it by its own scale, in the chart of the
    checkpoints' scores, or in none (it is in the log and in TensorBoard)."""

    CHART = "chart"
    STRIP = "strip"
    SCORES = "scores"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Metric:
    """One figure.

    name: its key in log, LOSS_MAP and TensorBoard, and its field of `LossPoint` or `CheckpointScores`. words: for
    people; described: where there is room for more. colours: of its curve on light and on dark ground. averaged: it
    jumps from step to step, so that its moving mean is drawn. optional: LOSS_MAP has it only where some step has a
    value. told: the text of a step's progress has it.
    """

    name: str
    words: str
    unit: str
    drawn: Drawn
    colours: tuple[str, str]
    described: str = ""
    averaged: bool = False
    optional: bool = False
    told: bool = False
    tone_name: str = ""

    @property
    def title(self) -> str:
        """`described`, or `words`."""
        return self.described or self.words

    @property
    def tone(self) -> str:
        """The name of its colour in a style sheet."""
        return self.tone_name or self.name.replace("_", "-")

    def to_json(self) -> dict[str, Any]:
        """As the panel in the graph editor takes it."""
        kept = {"name": self.name, "words": self.words, "drawn": self.drawn.value, "averaged": self.averaged}
        return {**kept, "colours": list(self.colours)}


@dataclass(frozen=True)
class LossPoint:
    """One optimizer step. `inside` and `outside` are the mean error weighted by the mask (after invert) and by what
    it leaves out; None where that region is empty, `outside` also where not all of it was predicted (`token_saving`).
    `near_zero` names samples whose mask was too empty to say anything. `prior` is the mean drift from the teacher
    before its weight; None where prior preservation did not act. `tokens` is the fraction of the pictures' tokens that
    ran through the middle blocks; None without token routing. `regularisation` is the mean error of regularisation
    images, weighted by their masks, which count in `loss` and in none of the others; None where none came. `dop` is the
    mean drift of the class from the base model before its weight; None where differential output preservation did not
    act. `people`: `inside` of each person's items by their name, of whoever came in this step.
    """

    step: int
    loss: float
    inside: float | None
    outside: float | None
    coverage: float
    learning_rate: float
    grad_norm: float
    near_zero: tuple[str, ...] = ()
    prior: float | None = None
    tokens: float | None = None
    regularisation: float | None = None
    dop: float | None = None
    people: Mapping[str, float] = field(default_factory=dict[str, float])


_LOSS_UNIT = "mean weighted error"
LOSS = Metric("loss", "loss", _LOSS_UNIT, Drawn.CHART, ("#71717a", "#a1a1aa"), told=True)
INSIDE = Metric(
    "inside", "inside", _LOSS_UNIT, Drawn.CHART, ("#2563eb", "#60a5fa"), "inside the mask", averaged=True, told=True
)
OUTSIDE = Metric(
    "outside", "outside", _LOSS_UNIT, Drawn.CHART, ("#ea580c", "#fb923c"), "outside the mask", averaged=True, told=True
)
PRIOR = Metric(
    "prior", "drift (prior)", _LOSS_UNIT, Drawn.STRIP, ("#be185d", "#f472b6"), "drift held back (prior)",
    averaged=True, optional=True, told=True,
)  # fmt: skip
REGULARISATION = Metric(
    "regularisation", "regularisation", _LOSS_UNIT, Drawn.STRIP, ("#b91c1c", "#f87171"), "of regularisation images",
    averaged=True, optional=True, told=True,
)  # fmt: skip
DOP = Metric(
    "dop", "drift (class)", _LOSS_UNIT, Drawn.STRIP, ("#6d28d9", "#c4b5fd"), "drift of the class held back",
    averaged=True, optional=True, told=True,
)  # fmt: skip

STEP_METRICS = (
    LOSS,
    Metric("coverage", "coverage", "mean weight", Drawn.STRIP, ("#0e7490", "#22d3ee"), averaged=True),
    Metric("learning_rate", "learning rate", "per step", Drawn.STRIP, ("#7c3aed", "#a78bfa")),
    Metric("grad_norm", "gradient norm", "before clipping", Drawn.NOWHERE, ("#71717a", "#a1a1aa")),
    INSIDE,
    OUTSIDE,
    PRIOR,
    Metric(
        "tokens",
        "tokens",
        "fraction",
        Drawn.STRIP,
        ("#4d7c0f", "#a3e635"),
        "tokens in the middle blocks",
        averaged=True,
        optional=True,
    ),
    REGULARISATION,
    DOP,
)
"""Of every optimizer step, fields of `LossPoint`, in the order of a LOSS_MAP."""

VALIDATION = Metric("validation", "validation", _LOSS_UNIT, Drawn.CHART, ("#15803d", "#4ade80"))

SCORE_METRICS = (
    Metric("likeness", "likeness", "similarity", Drawn.SCORES, ("#2563eb", "#60a5fa")),
    Metric("bleed", "bleed", "similarity", Drawn.SCORES, ("#be185d", "#f472b6")),
    Metric("copy_risk", "copy risk", "agreement of hashes", Drawn.SCORES, ("#b45309", "#fbbf24")),
    Metric("background_leak", "background leak", "similarity", Drawn.SCORES, ("#0e7490", "#22d3ee")),
    Metric("drift", "drift (plain)", "differing hash bits", Drawn.SCORES, ("#71717a", "#a1a1aa")),
)
"""Of every scored checkpoint, fields of `CheckpointScores`."""

_PERSON_COLOURS = (
    ("#0369a1", "#7dd3fc"), ("#b45309", "#fcd34d"), ("#15803d", "#86efac"), ("#a21caf", "#f0abfc"),
    ("#b91c1c", "#fca5a5"), ("#4338ca", "#a5b4fc"), ("#0f766e", "#5eead4"), ("#57534e", "#d6d3d1"),
)  # fmt: skip


def person_metric(name: str, number: int) -> Metric:
    """`inside` of one person's items: a figure of runs on items of several people. `number` chooses the colour."""
    place = number % len(_PERSON_COLOURS)
    return Metric(
        f"{INSIDE.name}/{name}", name, _LOSS_UNIT, Drawn.CHART, _PERSON_COLOURS[place], f"inside, {name}",
        averaged=True, optional=True, tone_name=f"person-{place}",
    )  # fmt: skip


PERSON_TONES = tuple(person_metric(str(number), number) for number in range(len(_PERSON_COLOURS)))
"""One figure in each colour that a person's may have."""


def person_metrics(names: Iterable[str]) -> list[Metric]:
    """Of the names of a LOSS_MAP, the figures of single people."""
    start = f"{INSIDE.name}/"
    people = sorted(name.removeprefix(start) for name in names if name.startswith(start))
    return [person_metric(name, number) for number, name in enumerate(people)]


def people_in(points: Iterable[LossPoint]) -> list[str]:
    """Whose items came, by name."""
    return sorted({name for point in points for name in point.people})


METRICS = (*STEP_METRICS, VALIDATION, *SCORE_METRICS)


@dataclass(eq=False)
class History:
    """All that was measured in a run so far: its optimizer steps, (step, loss) of its evaluations, its scores."""

    points: list[LossPoint] = field(default_factory=list[LossPoint])
    validation: list[ValidationPoint] = field(default_factory=list[ValidationPoint])
    scores: list[CheckpointScores] = field(default_factory=list[CheckpointScores])

    def copy(self) -> History:
        """A history of its own."""
        return History(list(self.points), list(self.validation), list(self.scores))

    def scores_at(self, step: int) -> CheckpointScores | None:
        """Those of the checkpoint after so many steps, where it was scored."""
        return next((each for each in self.scores if each.step == step), None)

    def is_validated(self, step: int) -> bool:
        """Whether there is an evaluation after so many steps."""
        return any(each == step for each, _ in self.validation)


def values_of(metric: Metric, points: Iterable[LossPoint]) -> list[float | None]:
    """The figure of each step."""
    return [getattr(point, metric.name) for point in points]
