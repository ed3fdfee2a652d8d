"""The plan of a run, of a model whose need is a formula."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.counting import OUTSIDE
from maskloss.core.plan.fit import CLASSES_GIB, GIB, Device
from maskloss.core.plan.measured import Measurement
from maskloss.core.plan.plan import NOTES, UNMEASURED, checkpointing_to_fit, plan_memory, refuse_too_large
from maskloss.core.plan.setup import Setup
from maskloss.core.plan.trial import RunSettings, StepMemory
from maskloss.core.progress import SILENT
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype


@dataclass(frozen=True)
class Formula:
    """Weights of 10 GiB, activations of so many GiB for a megapixel and sample."""

    activations: float
    name: str = "formula"
    smaller_precisions: tuple[BasePrecision, ...] = (BasePrecision.INT8,)
    block_count: int = 0

    def training_dtype(self, setup: Setup) -> TrainingDtype:
        return TrainingDtype.BF16

    def count(self, setup: Setup) -> StepMemory:
        weights = 10 * GIB // (2 if setup.base.holds_weights else 1)
        kept = 0.25 if setup.run.config.gradient_checkpointing else 1.0
        pixels = setup.size[0] * setup.size[1] / 2**20
        activations = round(self.activations * GIB * kept * pixels * setup.run.config.batch_size)
        return StepMemory(weights, 0, 0, {OUTSIDE: weights + activations}, round(pixels * 10**13))


def setup(**config: object) -> Setup:
    made = TrainConfig(**config)  # pyright: ignore[reportArgumentType]
    return Setup(RunSettings(LoraConfig(), OptimizerConfig(), made), (1024, 1024))


def test_verdicts_and_the_first_change_that_fits():
    plan = plan_memory(Formula(8), setup(gradient_checkpointing=False), SILENT)
    told = plan.to_json()
    verdicts = {each["gib"]: (each["verdict"], each["change"]) for each in told["devices"]}
    assert verdicts[24] == ("fits", "")
    assert verdicts[16] == ("too_large", "gradient_checkpointing on")
    assert verdicts[12] == ("too_large", "")
    assert verdicts[80] == ("fits", "")
    assert told["memory"]["peak"] == 18 * GIB
    assert json.loads(json.dumps(told)) == told
    assert [change["change"] for change in told["changes"]][:2] == [
        "gradient_checkpointing on",
        "base_precision int8",
    ]


def test_the_table_has_a_line_for_each_change_and_a_column_for_each_device():
    plan = plan_memory(Formula(8), setup(), SILENT)
    lines = plan.lines()
    table = lines[3 : 3 + len(plan.rows) + 1]
    assert all(f"{size} GiB" in table[0] for size in CLASSES_GIB)
    assert table[1].startswith("as it is")
    assert [row.change for row in plan.changes] == [line.split("  ")[0] for line in table[2:]]
    assert lines[-len(NOTES) - 2 :] == [UNMEASURED, "", *NOTES]


def test_how_long_it_takes_where_that_was_measured():
    known = Measurement(
        device="A card", device_gib=24.0, model="formula", width=1024, height=1024, frames=1, batch_size=1, rank=16,
        algorithm="lora", optimizer="adamw", gradient_checkpointing=True, training_dtype="bf16", weights="bf16",
        base_precision="as_loaded", blocks_in_main_memory=0, compile_blocks=False, operations=10.0, steps=20,
        seconds=2.0, spread=0.1, peak_gib=20.5, planned_gib=20.0, versions="torch 2.11.0", date="2026-11-30",
    )  # fmt: skip
    plan = plan_memory(Formula(8), setup(), SILENT, [known], 500)
    (told,) = plan.to_json()["durations"]
    assert (told["device"], told["seconds_per_step"], told["seconds"], told["scaled"]) == ("A card", 2.0, 1000.0, False)
    assert told["measured"]["versions"] == "torch 2.11.0"
    assert "500 steps take about 17 min on A card (2 s each, measured with torch 2.11.0)." in plan.lines()
    assert UNMEASURED not in plan.lines()
    held = replace(setup(), base=BaseConfig(BasePrecision.INT8))
    assert plan_memory(Formula(8), held, SILENT, [known], 500).expected == ()


def test_progress_is_told_before_each_change():
    said: list[tuple[int, int]] = []

    class Watched:
        def update(self, done: int, total: int, text: str = "", preview_HWC: object = None) -> None:
            said.append((done, total))

    plan = plan_memory(Formula(8), setup(), Watched())
    assert said == [(number, len(plan.changes) + 1) for number in range(1, len(plan.changes) + 2)]


@pytest.mark.parametrize(
    ("activations", "device_gib", "remedy"),
    [
        (16, 20, "It fits with gradient_checkpointing on."),
        (64, 14, "It fits with gradient_checkpointing on and base_precision int8 and"),
        (5000, 12, "No change of these settings makes it fit"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_nearest_settings(activations: float, device_gib: int, remedy: str):
    asked = setup(gradient_checkpointing=False)
    with pytest.raises(TrainingError) as refused:
        refuse_too_large(Formula(activations), asked, Device(device_gib * GIB))
    assert remedy in str(refused.value)
    assert f"the device has {device_gib}.0 GiB" in str(refused.value)
    assert "Set fit to insist" in str(refused.value)


def test_a_setting_that_has_to_change_twice_is_named_once():
    asked = setup(gradient_checkpointing=False)
    model = Formula(64, smaller_precisions=(BasePrecision.INT8, BasePrecision.NVFP4), block_count=40)
    with pytest.raises(TrainingError) as refused:
        refuse_too_large(model, asked, Device(11 * GIB))
    remedy = "gradient_checkpointing on and blocks_in_main_memory 40 and base_precision nvfp4 and lora_dtype bf16 and "
    assert f"It fits with {remedy}pictures of " in str(refused.value)
    assert str(refused.value).count("pictures of") == 1


@pytest.mark.parametrize(
    ("device", "on", "said"),
    [
        (
            Device(24 * GIB),
            False,
            "stays off: without it the run needs 19.7 GiB of the 24.0 GiB of the device's",
        ),
        (
            Device(16 * GIB),
            True,
            "is on: without it the run would need 19.7 GiB of the 16.0 GiB of the device's",
        ),
        (Device(15 * GIB, main_memory=True), True, "would need 18.0 GiB of the 15.0 GiB of main memory that are"),
        (Device(19 * GIB, main_memory=True), False, "needs 18.0 GiB of the 19.0 GiB of main memory that are free."),
    ],
)
def test_checkpointing_where_it_does_not_fit_without(device: Device, on: bool, said: str):
    asked = setup(gradient_checkpointing=False)
    decided, why = checkpointing_to_fit(Formula(8), asked, device)
    assert decided.run.config.gradient_checkpointing is on
    assert decided == (setup() if on else asked)
    assert said in why


def test_weights_are_not_fetched_where_checkpointing_makes_them_fit():
    asked, device = setup(gradient_checkpointing=False), Device(14 * GIB)
    assert refuse_too_large(Formula(3), asked, device).parameters == 10 * GIB, "fetched, it would fit"
    assert checkpointing_to_fit(Formula(3), asked, device)[0].run.config.gradient_checkpointing


def test_checkpointing_that_is_on_stays_on():
    decided, why = checkpointing_to_fit(Formula(8), setup(), Device(80 * GIB))
    assert decided == setup()
    assert "nothing to decide" in why


def test_a_base_held_in_int8_cannot_be_fetched_and_is_refused():
    held = replace(setup(), base=BaseConfig(BasePrecision.INT8))
    with pytest.raises(TrainingError, match="needs 6"):
        refuse_too_large(Formula(1), held, Device(6 * GIB))
    assert refuse_too_large(Formula(1), setup(), Device(8 * GIB)).parameters == 10 * GIB


def test_what_fits_is_not_refused():
    assert refuse_too_large(Formula(1), setup(), Device(24 * GIB)).parameters == 10 * GIB
