"""Plans of MODELs and of published models, end to end."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.cache.references import REFERENCE
from maskloss.core.cache.store import LatentCache
from maskloss.core.comfy.model.loading import _FREE_FRACTION
from maskloss.core.comfy.model.planned import ComfyPlannedModel, device_memory, planned_by_name, planned_model
from maskloss.core.comfy.model.references import ReferenceMethod
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.errors import PlanError, SettingError, TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.fit import FREE_FRACTION
from maskloss.core.plan.setup import Setup, Weights
from maskloss.core.plan.trial import RunSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy
logging.getLogger().setLevel(logging.ERROR)


def setup(size: tuple[int, int] = (512, 512), frames: int = 1, weights: Weights = Weights.MODEL, rank: int = 32):
    config = TrainConfig(training_dtype=TrainingDtype.BF16)
    return Setup(RunSettings(LoraConfig(rank=rank), OptimizerConfig(), config), size, frames, weights)


def planned_tiny(model: Any, name: str) -> ComfyPlannedModel:
    """With captions as narrow as the tiny networks take them."""

    class OneCaption(LatentCache):
        def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
            return tiny.text_for(name)

    entry = CacheEntry("a", "", MaskOrigin.NONE, 1.0, 1, (8, 8), (8, 8), (4, 1, 8, 8), "a caption", "", "", 0)
    return planned_model(model, OneCaption(Path(), name, "encoder", (entry,)))


def test_wan_at_full_size():
    model = planned_by_name("wan2.1-14b")
    memory = model.count(setup())
    assert memory.parameters / 2**30 == pytest.approx(26.6, abs=0.1)
    # Measured by hand without adapters and their optimizer: 27.2 GiB with checkpointing.
    assert (memory.parameters + memory.activations) / 2**30 == pytest.approx(27.8, abs=0.3)
    fp8 = model.count(setup(weights=Weights.FP8))
    assert fp8.parameters == pytest.approx(memory.parameters / 2, rel=0.01)


def test_a_model_on_the_wire_is_planned_as_it_is_and_stays_so():
    model = tiny.load_model("wan")
    before = {name: (id(each), each.clone()) for name, each in model.model.named_parameters()}
    planned = planned_model(model, None)
    memory = planned.count(setup((128, 128), 5))
    assert memory.parameters == sum(each.nbytes for each in model.model.diffusion_model.parameters())
    for name, each in model.model.named_parameters():
        assert id(each) == before[name][0]
        assert torch.equal(each, before[name][1])
    assert planned.count(setup((512, 512), 5)).activations > 1.5 * memory.activations


@pytest.mark.parametrize(("name", "method"), [("flux", "auto"), ("krea2", "index")])
def test_control_images_of_an_edit_model_are_counted(name: str, method: str) -> None:
    shapes = [(1, 16, 1, 64, 64)] * 2

    class Shown(LatentCache):
        def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
            return tiny.text_for(name)

        def references(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
            return {f"{REFERENCE}{number}": torch.zeros(shapes[number]) for number in range(entry.references)}

    def activations(*counts: int, placed: str = method) -> int:
        entry = CacheEntry("a", "", MaskOrigin.NONE, 1.0, 1, (8, 8), (8, 8), (4, 1, 8, 8), "a caption", "", "", 0)
        entries = tuple(replace(entry, references=count) for count in counts)
        cache = Shown(Path(), name, "encoder", entries)
        planned = planned_model(tiny.load_model(name), cache, ReferenceMethod(placed))
        return planned.count(setup((512, 512))).activations

    none, one, two = activations(0), activations(0, 1), activations(2, 0, 1)
    assert one > 1.5 * none
    assert two > 1.3 * one
    assert name == "flux" or activations(2, placed="auto") == none, "it ignores them"


def test_weights_of_another_format_count_with_their_own_size():
    own = planned_tiny(tiny.load_model("flux"), "flux").count(setup((64, 64)))
    model = tiny.load_model("flux")
    model.size = own.parameters // 2
    assert planned_tiny(model, "flux").count(setup((64, 64))).parameters == own.parameters // 2


def test_bad_input_is_named():
    with pytest.raises(SettingError, match="'flux-9' is no model that is known by name"):
        planned_by_name("flux-9")
    with pytest.raises(TrainingError, match="connect a cache with captions"):
        planned_model(tiny.load_model("aura_flow"), None)
    model = planned_model(tiny.load_model("wan"), None)
    wrong = replace(model, example={"cross_attn": torch.zeros(1, 4, 7)})
    with pytest.raises(PlanError, match="cannot be planned"):
        wrong.count(setup((64, 64)))


def test_experts_are_planned_with_equal_shares_of_the_tokens():
    memory = planned_tiny(tiny.load_model("hidream"), "hidream").count(setup((64, 64)))
    assert memory.activations > 0


def test_int8_halves_the_weights():
    model = planned_by_name("sd3.5-large")
    plain, held = model.count(setup()), model.count(replace(setup(), base=BaseConfig(BasePrecision.INT8)))
    assert 0.48 < held.parameters / plain.parameters < 0.55
    assert held.adapters == plain.adapters
    assert model.block_count == 38
    halves = [model.count(replace(setup(), base=BaseConfig(blocks_in_main_memory=each))) for each in (19, 38)]
    assert 0.4 < halves[0].parameters / plain.parameters < 0.7
    assert halves[1].parameters < 0.2 * plain.parameters
    assert halves[1].activations == plain.activations
    with pytest.raises(TrainingError, match="the model is quantised already"):
        model.count(replace(setup(weights=Weights.FP8), base=BaseConfig(BasePrecision.INT8)))


def test_in_main_memory_the_models_own_weights_are_there_besides():
    model = planned_model(tiny.load_model("wan"), None)
    assert (bool(model.smaller_precisions), model.block_count) == (model.on_cuda, 2 if model.on_cuda else 0)
    here = replace(model, on_cuda=False)
    plain, held = here.count(setup((64, 64))), here.count(replace(setup((64, 64)), base=BaseConfig(BasePrecision.INT8)))
    swapped = here.count(replace(setup((64, 64)), base=BaseConfig(blocks_in_main_memory=2)))
    assert held.parameters > 1.05 * plain.parameters
    assert swapped.parameters > plain.parameters


def test_the_device_of_a_model_on_the_cpu_is_the_computer():
    device = device_memory(torch.device(tiny.load_model("wan").load_device))
    assert device.main_memory is (not torch.cuda.is_available())
    assert device.memory > 2**30


def test_the_plan_fetches_when_the_loader_does():
    assert FREE_FRACTION == _FREE_FRACTION
