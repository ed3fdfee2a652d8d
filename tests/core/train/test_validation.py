"""The loss on pictures that are not trained on."""

from __future__ import annotations

import dataclasses
import json

import pytest
from maskloss.core.train.config import OptimizerConfig

from .runs import LORA, SIZE, Stop, Watcher, distance, half


def test_validation_is_measured_at_start_saves_epochs_and_end_and_disturbs_nothing(run, make_cache, tmp_path):
    held_out = make_cache([("x", SIZE, half()), ("y", (8, 4), None)])
    lora = dataclasses.replace(LORA, dropout=0.3)
    plain = run("plain", lora=lora, steps=9, save_every=3)
    watched = run("watched", lora=lora, steps=9, save_every=3, validation_cache=held_out)
    assert [step for step, _ in watched.validation] == [0, 3, 4, 6, 8, 9]
    assert plain.points == watched.points
    assert distance(plain, watched) == 0
    lines = [json.loads(line) for line in (tmp_path / "watched.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [0, 3, 4, 6, 8, 9]
    with pytest.raises(Stop):
        run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out, watcher=Watcher(5))
    assert run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out).validation == watched.validation


def test_validation_sees_learning_and_the_mask(run, cache):
    fast = OptimizerConfig(learning_rate=5e-3)
    result = run(steps=40, batch_size=2, optimizer=fast, validation_cache=cache)
    values = [value for _, value in result.validation]
    assert values[-1] < 0.95 * values[0]
    unmasked = run("unmasked", None, steps=1, validation_cache=cache)
    assert unmasked.validation[0][1] != pytest.approx(values[0], rel=1e-3)
