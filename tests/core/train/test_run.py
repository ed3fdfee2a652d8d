"""Run identity: what an output name stands for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import PathError, TrainingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OnExisting, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.run import RunFiles, run_identity, tensors_hash

CONFIG = TrainConfig(steps=2, gradient_checkpointing=False)
LORA = LoraConfig(rank=1, targets="final")


class Counter(SilentObserver):
    """Counts the steps that were really trained."""

    def __init__(self) -> None:
        self.steps = 0
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)

    def step(self, point: object, total_steps: int) -> None:
        self.steps += 1


@pytest.fixture
def cache(make_cache):
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0
    return make_cache([("a", (4, 4), mask)])


@pytest.fixture
def run(cache, tmp_path):
    def start(config: TrainConfig = CONFIG, lora: LoraConfig = LORA) -> tuple[TrainResult, Counter]:
        counter = Counter()
        recipe = TrainingRecipe(cache, MaskLossSettings(), lora, OptimizerConfig(), config)
        return train(DemoDenoiser(), recipe, tmp_path / "sub" / "lora", counter), counter

    return start


def test_the_same_finished_run_comes_from_disk(run):
    first, trained = run()
    again, counter = run()
    assert (trained.steps, counter.steps) == (2, 0)
    assert again.points == first.points
    assert again.path == first.path
    assert again.loss_map == first.loss_map
    assert all(torch.equal(again.lora[key], first.lora[key]) for key in first.lora)
    assert "nothing to train" in counter.texts[-1]


def test_a_lost_lora_file_is_written_again_from_the_state(run):
    first, _ = run()
    first.path.unlink()
    again, counter = run()
    assert counter.steps == 0
    assert all(torch.equal(again.lora[key], first.lora[key]) for key in first.lora)


def test_more_steps_go_on_and_fewer_return_what_there_is(run):
    run()
    longer, counter = run(dataclasses.replace(CONFIG, steps=5))
    assert (longer.steps, counter.steps) == (5, 3)
    shorter, counter = run()
    assert (shorter.steps, counter.steps) == (5, 0)


def test_another_run_under_the_same_name_is_refused_with_what_differs(run):
    run()
    with pytest.raises(TrainingError, match=r"lora\.rank: 1 there, 2 now.*train\.seed: 0 there, 7 now") as caught:
        run(dataclasses.replace(CONFIG, seed=7, steps=9), LoraConfig(rank=2, targets="final"))
    assert "steps" not in str(caught.value)
    assert "on_existing new" in str(caught.value)


@pytest.mark.parametrize("first", [False, True])
def test_a_run_goes_on_with_and_without_checkpointing_to_the_same_lora(run, first):
    whole, _ = run(dataclasses.replace(CONFIG, steps=5))
    run(dataclasses.replace(CONFIG, gradient_checkpointing=first, on_existing=OnExisting.OVERWRITE))
    longer, counter = run(dataclasses.replace(CONFIG, steps=5, gradient_checkpointing=not first))
    assert (longer.steps, counter.steps) == (5, 3)
    assert all(torch.equal(longer.lora[key], tensor) for key, tensor in whole.lora.items())
    assert longer.lora.metadata["ss_gradient_checkpointing"] == str(not first)
    again, counter = run(dataclasses.replace(CONFIG, steps=5))
    assert (again.steps, counter.steps) == (5, 0)
    with pytest.raises(TrainingError, match=r"differs in train\.seed: 0 there, 7 now\. "):
        run(dataclasses.replace(CONFIG, seed=7, gradient_checkpointing=first))


def test_new_numbers_runs_and_finds_each_again(run):
    other = dataclasses.replace(CONFIG, seed=7)
    run()
    second, counter = run(dataclasses.replace(other, on_existing=OnExisting.NEW))
    assert (second.path.name, counter.steps) == ("lora_002.safetensors", 2)
    again, counter = run(dataclasses.replace(other, on_existing=OnExisting.NEW))
    assert (again.path, counter.steps) == (second.path, 0)
    third, _ = run(dataclasses.replace(CONFIG, seed=8, on_existing=OnExisting.NEW))
    assert third.path.name == "lora_003.safetensors"


def test_overwrite_starts_again_and_leaves_nothing_of_the_old_run(run, tmp_path):
    run(dataclasses.replace(CONFIG, steps=3, save_every=1))
    neighbour = tmp_path / "sub" / "lora-stepmother.safetensors"
    neighbour.write_bytes(b"mine")
    result, counter = run(dataclasses.replace(CONFIG, seed=7, on_existing=OnExisting.OVERWRITE))
    assert counter.steps == 2
    assert [point.step for point in result.points] == [1, 2]
    # Where TensorBoard is installed its folder stays, with the new run's curves.
    assert sorted(path.name for path in (tmp_path / "sub").iterdir() if path.is_file()) == [
        "lora-stepmother.safetensors",
        "lora.jsonl",
        "lora.safetensors",
        "lora.state",
    ]


def test_a_lora_without_state_is_not_replaced(run, tmp_path):
    foreign = tmp_path / "sub" / "lora.safetensors"
    foreign.parent.mkdir()
    foreign.write_bytes(b"of another trainer")
    with pytest.raises(TrainingError, match="no training state"):
        run()
    assert foreign.read_bytes() == b"of another trainer"
    result, _ = run(dataclasses.replace(CONFIG, on_existing=OnExisting.NEW))
    assert result.path.name == "lora_002.safetensors"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"words"])
def test_a_damaged_state_is_named(run, tmp_path, content):
    run()
    (tmp_path / "sub" / "lora.state").write_bytes(content)
    with pytest.raises(TrainingError, match=r"lora\.state"):
        run()
    assert run(dataclasses.replace(CONFIG, on_existing=OnExisting.OVERWRITE))[1].steps == 2


def test_a_state_of_another_version_is_named(run, tmp_path):
    run()
    torch.save({"format": "older"}, tmp_path / "sub" / "lora.state")
    with pytest.raises(TrainingError, match="version"):
        run()


def test_output_may_be_given_with_its_suffix(cache, tmp_path):
    recipe = TrainingRecipe(cache, None, LORA, OptimizerConfig(), CONFIG)
    result = train(DemoDenoiser(), recipe, tmp_path / "x.safetensors")
    assert result.path == tmp_path / "x.safetensors"


def test_identity_covers_every_setting_but_steps_and_on_existing(cache):
    config = TrainConfig()
    start = {"k": torch.ones(1)}
    recipe = TrainingRecipe(cache, MaskLossSettings(), LORA, OptimizerConfig(), config, cache, start)
    identity = run_identity(DemoDenoiser().identity, recipe)
    for group, kind in (("lora", LoraConfig), ("optimizer", OptimizerConfig)):
        assert all(f"{group}.{field.name}" in identity for field in dataclasses.fields(kind))
    # What older runs did not have stands there where it is not at its default, so that those go on.
    later = {field.name for field in dataclasses.fields(MaskLossSettings)} - {key[10:] for key in identity}
    assert later == {
        "prior_min_t", "prior_decay", "prior_decay_start", "prior_warmup_steps", "prior_exclusive",
        "dop_weight", "dop_region", "trigger", "class_noun",
    }  # fmt: skip
    changed = MaskLossSettings(
        prior_min_t=0.2, prior_decay="linear", prior_decay_start=0.5, prior_warmup_steps=3, prior_exclusive=True,
        dop_weight=0.7, dop_region="inside", trigger="ohwx", class_noun="woman",
    )  # fmt: skip
    now = run_identity(DemoDenoiser().identity, dataclasses.replace(recipe, settings=changed))
    assert {now[f"mask_loss.{name}"] for name in later} == {
        0.2, "linear", 0.5, 3, True, 0.7, "inside", "ohwx", "woman",
    }  # fmt: skip
    missing = {field.name for field in dataclasses.fields(config) if f"train.{field.name}" not in identity}
    assert missing == {"steps", "on_existing", "background_tokens"}
    routed = dataclasses.replace(recipe, config=dataclasses.replace(config, background_tokens=0.5))
    assert run_identity(DemoDenoiser().identity, routed)["train.background_tokens"] == 0.5
    assert identity["model"] == "maskloss-demo-flow-1-seed0"
    assert identity["cache"] == identity["validation_cache"] == cache.fingerprint
    assert identity["initial_lora"] == tensors_hash(start)


def test_tensors_hash_sees_names_values_and_types():
    base = {"a": torch.ones(2), "b": torch.zeros(1)}
    assert tensors_hash(base) == tensors_hash(dict(reversed(base.items())))
    others = [{"a": torch.ones(2)}, {**base, "b": torch.ones(1)}, {**base, "b": torch.zeros(1).bfloat16()}]
    assert len({tensors_hash(each) for each in [base, *others]}) == 4


def test_the_file_says_what_was_done(run, cache, tmp_path: Path):
    result, _ = run()
    metadata = result.lora.metadata
    assert metadata["ss_network_dim"] == "1"
    assert metadata["ss_steps"] == "2"
    assert metadata["ss_output_name"] == metadata["modelspec.title"] == result.path.stem
    assert metadata["modelspec.architecture"] == "maskloss-demo/lora"
    assert '"min_weight": 0.0' in metadata["maskloss.mask_loss"]
    assert metadata["maskloss.coverage"] == "0.500000"
    assert metadata["maskloss.cache"] == cache.fingerprint


def test_a_name_that_no_disk_takes_is_said_before_anything_is_written(tmp_path: Path) -> None:
    assert RunFiles(tmp_path / ("x" * 230)).numbered_path(7).name.endswith("step00000007.safetensors")
    with pytest.raises(PathError, match="gives names of 256 bytes, and 255 are possible"):
        RunFiles(tmp_path / ("x" * 231))
