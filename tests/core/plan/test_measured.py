"""The table of measured devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.plan.measured import (
    SHIPPED,
    Expected,
    Measurement,
    Work,
    add_measurement,
    expected,
    known_measurements,
    read_measurements,
)
from maskloss.core.warning import collect_warnings

RUN = Measurement(
    device="A card", device_gib=24.0, model="wan2.1-14b", width=512, height=512, frames=1, batch_size=1, rank=32,
    algorithm="lora", optimizer="adamw", gradient_checkpointing=True, training_dtype="bf16", weights="bf16",
    base_precision="as_loaded", blocks_in_main_memory=0, compile_blocks=False, operations=100.0, steps=20,
    seconds=2.0, spread=0.1, peak_gib=20.5, planned_gib=20.0, versions="torch 2.11.0", date="2026-11-30",
)  # fmt: skip
WORK = Work("wan2.1-14b", "bf16", "as_loaded", 0, False, 100 * 10**12)


@pytest.mark.parametrize("device", ["A card", 'Quote " and back\\slash', "Zwei Drähte\n\t中文 \U0001f600\x7f\x01"])
def test_what_is_written_is_read_again(tmp_path: Path, device: str):
    first, second = replace(RUN, device=device), replace(RUN, spread=1e-9, operations=1e-300, peak_gib=1e22)
    path = tmp_path / "table.toml"
    add_measurement(path, first)
    add_measurement(path, second)
    assert read_measurements(path) == [first, second]


def test_a_comment_of_the_users_stays(tmp_path: Path):
    path = tmp_path / "table.toml"
    path.write_text("# mine\n\n\n")
    add_measurement(path, RUN)
    assert path.read_text().startswith("# mine\n\n[[run]]\n")


def test_the_shipped_table_can_be_read():
    assert SHIPPED.is_file()
    for each in read_measurements(SHIPPED):
        assert each.steps >= 10, "a median of few steps says little"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("seconds = 0", "seconds, operations and steps must be more than 0"),
        ('seconds = "2"', "seconds is '2', and must be of the kind float"),
        ("steps = 2.5", "steps is 2.5, and must be of the kind int"),
        ("frames = true", "frames is True, and must be of the kind int"),
        ("spread = nan", "spread is nan, and must not be negative"),
        ("spread = -1.0", "spread is -1.0, and must not be negative"),
        ("speed = 1", "found ['speed'], which must be there, or must not"),
    ],
)
def test_damaged_entries_are_named_and_left_out(tmp_path: Path, changed: str, said: str):
    path = tmp_path / "table.toml"
    name = changed.split()[0]
    lines = [line for line in RUN.to_toml().splitlines() if line.split()[0] != name]
    path.write_text("\n".join([RUN.to_toml(), *lines, changed]))
    with pytest.raises(SettingError) as refused:
        read_measurements(path)
    assert f"Run 2 of {path}: {said}" in str(refused.value)
    good = tmp_path / "good.toml"
    add_measurement(good, RUN)
    with collect_warnings() as warnings:
        assert known_measurements((path, tmp_path / "none.toml", good)) == (RUN,)
    assert said in warnings.texts[0]


def test_the_same_step_takes_what_was_measured():
    assert expected(WORK, [RUN]) == (Expected(2.0, RUN, False),)
    assert expected(replace(WORK, operations=101 * 10**12), [RUN])[0].seconds == 2.0
    words = expected(WORK, [RUN])[0].words(1000)
    assert words == "1000 steps take about 33 min on A card (2 s each, measured with torch 2.11.0)."


def test_another_step_takes_as_much_more_as_it_computes():
    (found,) = expected(replace(WORK, operations=400 * 10**12), [RUN])
    assert (found.seconds, found.scaled) == (8.0, True)
    assert found.words(10) == (
        "10 steps take about 80 s on A card (8 s each, scaled from wan2.1-14b, 512x512, batch 1)."
    )


def test_the_nearest_measurement_of_each_device_counts():
    larger = replace(RUN, operations=300.0, seconds=5.0)
    other_model = replace(RUN, model="flux-1-dev", operations=200.0, seconds=9.0)
    other_card = replace(RUN, device="Another", seconds=1.0)
    found = expected(replace(WORK, operations=200 * 10**12), [RUN, larger, other_model, other_card])
    assert [(each.source, each.scaled) for each in found] == [(larger, True), (other_card, True)]


@pytest.mark.parametrize(
    "changed",
    [{"training_dtype": "fp32"}, {"base_precision": "int8"}, {"blocks_in_main_memory": 4}, {"compile_blocks": True}],
)
def test_what_runs_otherwise_says_nothing(changed: dict[str, object]):
    assert expected(WORK, [replace(RUN, **changed)]) == ()
