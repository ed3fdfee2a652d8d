"""A plan as a picture."""

from __future__ import annotations

import numpy as np
from maskloss.core.plan.counting import OUTSIDE
from maskloss.core.plan.fit import CLASSES_GIB, GIB
from maskloss.core.plan.plan import MemoryPlan, Row
from maskloss.core.plan.setup import Setup
from maskloss.core.plan.trial import RunSettings, StepMemory
from maskloss.core.report.memory_table import _GROUNDS, memory_table
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig


def row(change: str, gib: int) -> Row:
    setup = Setup(RunSettings(LoraConfig(), OptimizerConfig(), TrainConfig()), (1024, 1024))
    return Row(change, setup, StepMemory(2 * GIB, 0, 0, {OUTSIDE: gib * GIB}))


def cells(picture_HWC: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Fields of a colour: their left edges, counted along every row of text."""
    marked_HW = (picture_HWC == np.array(colour, np.uint8)).all(-1)
    starts_HW = marked_HW & ~np.roll(marked_HW, 1, axis=1)
    rows = np.flatnonzero(marked_HW.any(1))
    tops = rows[np.flatnonzero(np.diff(rows, prepend=-2) > 1)]
    return int(sum(starts_HW[top].sum() for top in tops))


def test_every_verdict_is_a_field_of_its_colour():
    plan = MemoryPlan("model", row("", 30), (row("gradient_checkpointing on", 9),))
    picture = memory_table(plan)
    assert picture.dtype == np.uint8
    for verdict, colour in _GROUNDS.items():
        expected = sum(found is verdict for each in plan.rows for found in each.verdicts().values())
        assert cells(picture, colour) == expected
    assert sum(cells(picture, colour) for colour in _GROUNDS.values()) == 2 * len(CLASSES_GIB)


def test_more_changes_make_it_taller():
    one, two = MemoryPlan("model", row("", 30), ()), MemoryPlan("model", row("", 30), (row("rank 16", 9),))
    assert memory_table(two).shape[0] > memory_table(one).shape[0]
