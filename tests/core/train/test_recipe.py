"""What a training run depends on is one frozen thing, of which only what is trained on has to be given."""

import dataclasses
from dataclasses import FrozenInstanceError

import pytest
import torch
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.recipe import TrainingRecipe


def test_without_validation_and_a_start_nothing_is_held_out_and_the_adapter_begins_at_nothing(cache):
    recipe = TrainingRecipe(cache, None, LoraConfig(), OptimizerConfig(), TrainConfig())
    assert (recipe.validation_cache, recipe.initial_lora) == (None, None)
    with pytest.raises(FrozenInstanceError):
        recipe.config = TrainConfig(steps=2)


def test_every_part_of_it_changes_what_is_learnt(cache, make_cache, run):
    """So that none is an option that does nothing."""
    base = run("base", steps=2)
    assert {field.name for field in dataclasses.fields(TrainingRecipe)} == {
        "cache", "settings", "lora", "optimizer", "config", "validation_cache", "initial_lora",
    }  # fmt: skip
    other = make_cache([("z", (6, 6), torch.ones(1, 1, 6, 6))])
    changed = {
        "cache": run("cache", steps=2, on=other),
        "settings": run("settings", steps=2, settings=None),
        "lora": run("lora", steps=2, lora=LoraConfig(rank=2, alpha=1.0)),
        "optimizer": run("optimizer", steps=2, optimizer=OptimizerConfig(learning_rate=2e-3)),
        "config": run("config", steps=2, seed=7),
        "initial_lora": run("initial", steps=2, initial_lora=run("start", steps=3, seed=9).lora),
    }
    for name, result in changed.items():
        assert any(not torch.equal(result.lora[key], tensor) for key, tensor in base.lora.items()), name
    assert run("held_out", steps=2, validation_cache=other).validation
    assert not base.validation
