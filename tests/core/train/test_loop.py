"""The loop as a user meets it: on a real model, through `train`."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.train.config import OptimizerConfig
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.optimizers import OptimizerName

from .runs import LORA, Stop, Watcher, assert_same, distance, half


def test_the_loss_goes_down_inside_the_mask(run):
    result = run(steps=80, batch_size=4, validation_cache=None, optimizer=OptimizerConfig(learning_rate=5e-3))
    inside = [point.inside for point in result.points]
    assert sum(inside[-10:]) < 0.9 * sum(inside[:10])


def test_a_seeded_rerun_is_bit_equal_and_touches_no_global_state(run):
    state = torch.get_rng_state()
    lora = dataclasses.replace(LORA, dropout=0.3)
    assert_same(run("one", lora=lora, caption_dropout=0.5), run("two", lora=lora, caption_dropout=0.5))
    assert torch.equal(state, torch.get_rng_state())
    assert distance(run("one", lora=lora, caption_dropout=0.5), run("three", lora=lora, seed=1)) > 0


def test_several_shapes_and_a_second_frame_axis_train_together(run, make_cache):
    cache = make_cache([("a", (6, 6), half()), ("b", (8, 5), None), ("c", (6, 6), half())])
    assert run(on=cache, steps=4, batch_size=2).steps == 4


def test_module_is_as_it_was(run):
    denoiser = DemoDenoiser()
    before = {name: parameter.clone() for name, parameter in denoiser.module.named_parameters()}
    run(denoiser=denoiser, steps=2)
    with pytest.raises(Stop):
        run("cut", denoiser=denoiser, watcher=Watcher(1))
    assert all(not module._forward_hooks for module in denoiser.module.modules())
    for name, parameter in denoiser.module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_it_trains_inside_inference_mode(run):
    with torch.inference_mode():
        assert run(steps=2).steps == 2


def test_checkpointing_changes_nothing_but_memory(run):
    lora = dataclasses.replace(LORA, dropout=0.3)
    asked: list[bool] = []

    class Recording(DemoDenoiser):
        def predict(self, clean, noise, t, text, checkpoint):
            asked.append(checkpoint)
            return super().predict(clean, noise, t, text, checkpoint)

    plain = run("plain", lora=lora, denoiser=Recording())
    checkpointed = run("checkpointed", lora=lora, denoiser=Recording(), gradient_checkpointing=True)
    assert asked == [False] * 4 + [True] * 4
    assert_same(plain, checkpointed)


def test_save_every_leaves_numbered_loras_of_their_step(run, tmp_path):
    run(steps=5, save_every=2)
    numbered = sorted(path.name for path in tmp_path.glob("lora-step*"))
    assert numbered == ["lora-step00000002.safetensors", "lora-step00000004.safetensors"]
    two = run("two", steps=2)
    for key, tensor in load_lora(tmp_path / numbered[0]).items():
        assert torch.equal(tensor, two.lora[key])


def test_starting_from_a_lora_starts_there(run):
    first = run("first", steps=3)
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1e-12, weight_decay=0.0)
    again = run("again", steps=1, optimizer=sgd, initial_lora=first.lora)
    assert distance(first, again) < 1e-8
