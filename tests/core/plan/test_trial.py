"""A counted step of the demo model: with values and without."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoTextEncoder
from maskloss.core.mask_weights import MaskLossSettings, PriorTeacher
from maskloss.core.plan.trial import Opened, RunSettings, Sample, StepMemory, count_step, repeated_step
from maskloss.core.train.config import Algorithm, LoraConfig, LoraDtype, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.optimizers import OptimizerName

RUN = RunSettings(LoraConfig(rank=4), OptimizerConfig(), TrainConfig(training_dtype=TrainingDtype.FP32))


def counted(run: RunSettings = RUN, side: int = 32) -> StepMemory:
    sample = Sample((16, 1, side, side), DemoTextEncoder().encode("a person"))
    return count_step(Opened(DemoDenoiser(), (), nullcontext), sample, run)


def test_the_parts_are_what_they_are_known_to_be():
    memory = counted()
    network = DemoDenoiser().module
    assert memory.parameters == sum(each.nbytes for each in (*network.parameters(), *network.buffers()))
    # Two moments of AdamW, and a number for each tensor.
    assert 2 * memory.adapters < memory.optimizer < 2.1 * memory.adapters
    assert memory.peak == memory.parameters + memory.adapters + memory.optimizer + memory.activations


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        (replace(RUN, lora=LoraConfig(rank=8)), True),
        (replace(RUN, lora=LoraConfig(rank=4, algorithm=Algorithm.LOHA)), True),
        (replace(RUN, optimizer=OptimizerConfig(ema_decay=0.9)), True),
        (replace(RUN, optimizer=OptimizerConfig(name=OptimizerName.SGD)), False),
        (replace(RUN, config=replace(RUN.config, batch_size=2)), True),
        (replace(RUN, config=replace(RUN.config, gradient_accumulation_steps=4)), True),
        (replace(RUN, config=replace(RUN.config, gradient_checkpointing=False)), True),
        (replace(RUN, config=replace(RUN.config, lora_dtype=LoraDtype.BF16)), False),
        (replace(RUN, settings=MaskLossSettings(prior_weight=0.5, prior_teacher=PriorTeacher.EMA)), True),
    ],
)
def test_every_setting_shows_in_the_peak(changed: RunSettings, more: bool):
    plain, other = counted().peak, counted(changed).peak
    assert (other > plain) is more
    assert other != plain


def test_differential_output_preservation_is_another_pass_with_a_teacher():
    plain = counted()
    held = counted(replace(RUN, settings=MaskLossSettings(dop_weight=1.0, trigger="ohwx", class_noun="woman")))
    assert held.operations > 1.9 * plain.operations
    assert plain.peak < held.peak < 1.5 * plain.peak


def test_a_larger_picture_needs_more_and_nothing_stays_on_the_model():
    denoiser = DemoDenoiser()
    before = [each.requires_grad for each in denoiser.module.parameters()]
    assert counted(side=64).activations > 3 * counted(side=32).activations
    assert not any(module._forward_hooks for module in denoiser.module.modules())
    assert [each.requires_grad for each in denoiser.module.parameters()] == before


def test_a_repeated_step_trains_on_noise_and_leaves_the_model_as_it_was():
    seen: list[torch.Tensor] = []

    class Watched(DemoDenoiser):
        def predict(self, clean_BCThw: torch.Tensor, noise_BCThw: torch.Tensor, *rest: Any) -> torch.Tensor:
            result = super().predict(clean_BCThw, noise_BCThw, *rest)
            seen.append(result.detach().clone())
            return result

    sample = Sample((16, 1, 8, 8), DemoTextEncoder().encode("a person"))
    denoiser = Watched()
    with repeated_step(Opened(denoiser, (), nullcontext), sample, RUN) as step:
        step()
        step()
    assert len(seen) == 2
    assert seen[0].std() > 0
    assert not torch.equal(seen[0], seen[1]), "the first step has moved the adapter"
    assert not any(module._forward_hooks for module in denoiser.module.modules())


def test_weights_of_another_size_move_every_peak():
    memory = counted()
    heavier = memory.with_parameters(memory.parameters + 1000)
    assert heavier.peak == memory.peak + 1000
    assert heavier.activations == memory.activations


def test_no_random_state_is_touched():
    state = torch.get_rng_state()
    counted()
    assert torch.equal(state, torch.get_rng_state())
