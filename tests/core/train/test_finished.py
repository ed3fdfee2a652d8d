"""A finished run comes back from disk without its model."""

from __future__ import annotations

import dataclasses

import pytest
from maskloss.core.cache.entries import StaleEntry
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.config import OnExisting, TrainConfig
from maskloss.core.train.finished import TrainResult, finished_run
from maskloss.core.train.recipe import TrainingRecipe

from .runs import LORA, OPTIMIZER, PLAIN, Watcher, assert_same

MODEL = DemoDenoiser().identity


@pytest.fixture
def look(cache, tmp_path):
    """What is on disk under "lora", for the model of that identity."""

    def start(
        steps: int = 3, model: str = MODEL, on=cache, watcher: Watcher | None = None, **config
    ) -> TrainResult | None:
        chosen = TrainConfig(steps=steps, gradient_checkpointing=False, **config)
        recipe = TrainingRecipe(on, PLAIN, LORA, OPTIMIZER, chosen)
        return finished_run(model, recipe, tmp_path / "lora", watcher or Watcher())

    return start


def test_it_is_what_training_gave(run, look, cache):
    assert look() is None, "there is nothing yet"
    trained = run(steps=3, validation_cache=None)
    watcher = Watcher()
    found = look(watcher=watcher)
    assert found is not None
    assert_same(found, trained)
    assert (found.path, found.steps, found.validation) == (trained.path, trained.steps, trained.validation)
    assert found.lora.metadata == trained.lora.metadata
    assert any("finished after 3 steps" in text for text in watcher.texts)


def test_what_is_left_to_do_or_to_refuse_is_for_training(run, look, cache, tmp_path):
    run(steps=3)
    assert look(steps=4) is None
    assert look(on_existing=OnExisting.OVERWRITE) is None
    assert (tmp_path / "lora.safetensors").exists(), "looking deletes nothing"
    stale = dataclasses.replace(cache, stale_entries=(StaleEntry("a", "image changed"),))
    assert look(on=stale) is None
    (tmp_path / "lora.safetensors").unlink()
    assert look() is None


def test_another_run_under_the_name_is_refused_before_anything_is_loaded(run, look):
    run(steps=3)
    with pytest.raises(TrainingError, match="model: "):
        look(model="another")
    assert look(model="another", on_existing=OnExisting.NEW) is None


def test_a_log_that_was_deleted_comes_back_from_the_state(run, look, tmp_path):
    run(steps=3)
    log = tmp_path / "lora.jsonl"
    written = log.read_bytes()
    log.unlink()
    assert look() is not None
    assert log.read_bytes() == written
    log.unlink()
    run(steps=3)
    assert log.read_bytes() == written, "with the model as well"
    log.write_text("kept")
    look()
    assert log.read_text() == "kept", "what is there is left alone"
