"""The memory plan of a training run: what it needs, what single changes would need, and on which devices each fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..errors import TrainingError
from ..frozen.config import BasePrecision
from ..progress import Progress
from ..train.config import TrainingDtype
from .fit import CLASSES_GIB, RESERVE_BYTES, ROUNDING, Device, Verdict, class_device, gib, needed_bytes, verdict
from .measured import Expected, Measurement, Work, expected
from .setup import Change, Setup, single_changes, with_checkpointing
from .trial import StepMemory

UNMEASURED = "How long it takes is not known: nothing like it has been measured. `maskloss bench` measures your device."
_MARKS = {Verdict.FITS: "fits", Verdict.FETCHED: "fetched", Verdict.TOO_LARGE: "-"}
COMPILED = "Counted as if no block were compiled: what compiled code needs is known only when it has run."
NOTES = (
    f"Needed is the peak with {ROUNDING:.0%} for the allocator's rounding and {gib(RESERVE_BYTES)} for CUDA and its "
    "libraries.",
    "fetched: does not fit whole; ComfyUI keeps some weights in main memory and fetches them in every pass, slowly.",
    "Counted on the whole latent, without what masks or token routing save; sample pictures and the VAE are not in it.",
)


class PlannedModel(Protocol):
    """A model whose training steps can be counted without its weights."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def smaller_precisions(self) -> Sequence[BasePrecision]:
        """Values of base_precision that need less memory than the weights as they are, the largest first."""
        ...

    @property
    def block_count(self) -> int:
        """How many blocks can be in main memory, apart from the device's."""
        ...

    def training_dtype(self, setup: Setup) -> TrainingDtype:
        """What it computes in, which is never `auto`."""
        ...

    def count(self, setup: Setup) -> StepMemory:
        """The memory of a step. PlanError where it cannot be known, TrainingError where the model cannot be trained."""
        ...


@dataclass(frozen=True, eq=False)
class Row:
    """One way to train, what it needs, and what is different; "" for the one that was asked for."""

    change: str
    setup: Setup
    memory: StepMemory

    def verdicts(self) -> dict[int, Verdict]:
        """By the device's GiB."""
        return {size: _verdict(self.memory, self.setup, class_device(size)) for size in CLASSES_GIB}


@dataclass(frozen=True, eq=False)
class MemoryPlan:
    """The run that was asked for, the single changes that need less, in the order in which to try them, and what a step
    takes on the devices that have been measured; `steps` are those of the run."""

    model: str
    asked: Row
    changes: tuple[Row, ...]
    steps: int = 1
    expected: tuple[Expected, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them, the one that was asked for first."""
        return (self.asked, *self.changes)

    def advice(self) -> dict[int, str]:
        """By the device's GiB: the first single change that makes the run fit it whole; "" where it fits as it is, or
        none makes it fit."""
        return {size: self._first_that_fits(size) for size in CLASSES_GIB}

    def to_json(self) -> Mapping[str, Any]:
        """All figures; memory in bytes."""
        advice = self.advice()
        return {
            "model": self.model,
            "settings": self.asked.setup.words,
            "memory": _figures(self.asked.memory),
            "devices": [
                {"gib": size, "verdict": found.value, "change": advice[size]}
                for size, found in self.asked.verdicts().items()
            ],
            "changes": [
                {"change": row.change, "memory": _figures(row.memory)}
                | {"fits": [size for size, found in row.verdicts().items() if found is Verdict.FITS]}
                for row in self.changes
            ],
            "steps": self.steps,
            "durations": [
                {"device": each.source.device, "seconds_per_step": each.seconds, "seconds": each.seconds * self.steps}
                | {"scaled": each.scaled, "measured": asdict(each.source)}
                for each in self.expected
            ],
            "notes": list(NOTES),
        }

    def lines(self) -> list[str]:
        """The table for a terminal."""
        memory = self.asked.memory
        parts = ("parameters", "adapters", "optimizer", "activations", "peak")
        lines = [f"{self.model}: {self.asked.setup.words}"]
        lines += [", ".join(f"{part} {gib(getattr(memory, part))}" for part in parts), ""]
        table = [["", "needed", *(f"{size} GiB" for size in CLASSES_GIB)]]
        table += [[row.change or "as it is", gib(needed_bytes(row.memory)), *_marks(row)] for row in self.rows]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        durations = [each.words(self.steps) for each in self.expected] or [UNMEASURED]
        return [*(line.rstrip() for line in lines), "", *durations, "", *NOTES]

    def _first_that_fits(self, size: int) -> str:
        if self.asked.verdicts()[size] is Verdict.FITS:
            return ""
        fitting = (row.change for row in self.changes if row.verdicts()[size] is Verdict.FITS)
        return next(fitting, "")


def plan_memory(
    model: PlannedModel, setup: Setup, progress: Progress, measured: Iterable[Measurement] = (), steps: int = 1
) -> MemoryPlan:
    """Count the run of so many steps and every single change of it. TrainingError where the model cannot be trained."""
    changes = _changes(model, setup)
    asked = Row("", setup, model.count(setup))
    rows: list[Row] = []
    for number, change in enumerate(changes, 1):
        progress.update(number, len(changes) + 1, change.words)
        rows.append(Row(change.words, change.setup, model.count(change.setup)))
    progress.update(len(changes) + 1, len(changes) + 1)
    return MemoryPlan(model.name, asked, tuple(rows), steps, expected(work_of(model, setup, asked.memory), measured))


def work_of(model: PlannedModel, setup: Setup, memory: StepMemory) -> Work:
    """The step whose memory was counted, as the table of measured devices is asked for it."""
    base, dtype = setup.base, model.training_dtype(setup)
    settings = (dtype.value, base.precision.value, base.blocks_in_main_memory, base.compile_blocks)
    return Work(model.name, *settings, memory.operations)


def checkpointing_to_fit(model: PlannedModel, setup: Setup, device: Device) -> tuple[Setup, str]:
    """The setup, with gradient checkpointing where it does not fit the device whole without, and why, in a sentence."""
    if setup.run.config.gradient_checkpointing:
        return setup, "gradient_checkpointing is on, as it is set, so fit had nothing to decide."
    memory = model.count(setup)
    where = "main memory" if device.main_memory else "the device's memory"
    need = f"{gib(needed_bytes(memory, device))} of the {gib(device.memory)} of {where} that are free"
    if _verdict(memory, setup, device) is Verdict.FITS:
        return setup, f"gradient_checkpointing stays off: without it the run needs {need}."
    return with_checkpointing(setup), f"gradient_checkpointing is on: without it the run would need {need}."


def refuse_too_large(model: PlannedModel, setup: Setup, device: Device) -> StepMemory:
    """The memory of a step on the device. TrainingError where it cannot fit, with the nearest settings that do."""
    memory = model.count(setup)
    if _verdict(memory, setup, device) is not Verdict.TOO_LARGE:
        return memory
    raise TrainingError(
        f"Training {model.name} with these settings ({setup.words}) needs {gib(needed_bytes(memory, device))}, and the "
        f"device has {gib(device.memory)}. {_remedy(model, setup, device)} Set fit to insist to try it nevertheless."
    )


def _remedy(model: PlannedModel, setup: Setup, device: Device) -> str:
    """The first single change that fits, else as many of them, one after the other, as it takes."""
    changes = _changes(model, setup)
    for change in changes:
        if _verdict(model.count(change.setup), change.setup, device) is not Verdict.TOO_LARGE:
            return f"It fits with {change.words}."
    made: dict[str, Change] = {}
    while changes:
        made[changes[0].setting] = changes[0]
        if _verdict(model.count(changes[0].setup), changes[0].setup, device) is not Verdict.TOO_LARGE:
            return f"It fits with {' and '.join(change.words for change in made.values())}."
        changes = _changes(model, changes[0].setup)
    return "No change of these settings makes it fit; train a smaller model, or on a larger device."


def _changes(model: PlannedModel, setup: Setup) -> list[Change]:
    return list(single_changes(setup, model.smaller_precisions, model.block_count))


def _verdict(memory: StepMemory, setup: Setup, device: Device) -> Verdict:
    return verdict(memory, device, setup.base.holds_weights)


def _marks(row: Row) -> list[str]:
    return [_MARKS[found] for found in row.verdicts().values()]


def _figures(memory: StepMemory) -> dict[str, int]:
    parts = ("parameters", "adapters", "optimizer", "activations", "peak")
    return {**{part: getattr(memory, part) for part in parts}, "needed": needed_bytes(memory)}
