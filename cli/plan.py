"""`maskloss plan`: how much memory a training needs, and which cards it fits."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.cache.store import open_cache
from ..core.comfy.find import require_comfyui
from ..core.comfy.model.full_size import full_size_models
from ..core.comfy.model.planned import ComfyPlannedModel, planned_by_name
from ..core.errors import SettingError
from ..core.frozen.config import BaseConfig, BasePrecision
from ..core.host import LocalHost
from ..core.mask_weights import MaskLossSettings
from ..core.plan.measured import known_measurements
from ..core.plan.plan import plan_memory
from ..core.plan.setup import Setup, Weights
from ..core.plan.trial import RunSettings
from ..core.train.config import Algorithm, LoraConfig, OptimizerConfig, TrainConfig
from ..core.train.optimizers import OptimizerName


@dataclass(frozen=True)
class Asked:
    """A training run of a published model, in the words of the command line."""

    model: str
    resolution: str
    frames: int
    cache: Path | None
    rank: int
    algorithm: str
    optimizer: str
    batch: int
    checkpointing: bool
    prior: bool
    weights: str
    base_precision: str
    blocks_in_main_memory: int


def print_plan(asked: Asked, steps: int, as_json: bool) -> None:
    """Print the table for a run of so many steps, or with `as_json` all figures. SettingError for a model or an
    optimizer that is not known, or a resolution that is none."""
    if asked.model == "list":
        print("\n".join(f"{name:20} {model.parameters:g} billion" for name, model in full_size_models().items()))
        return
    setup = setup_of(asked)
    require_comfyui()
    model = planned_by_name(asked.model)
    host = LocalHost()
    host.label = "plan"
    plan = plan_memory(model, with_cache(setup, asked, model), host.progress(), known_measurements(), steps)
    print(json.dumps(plan.to_json(), indent=1) if as_json else "\n".join(plan.lines()))


def setup_of(asked: Asked) -> Setup:
    """What is asked for, but for the size of the cache's pictures. SettingError where it is no such thing."""
    if asked.optimizer not in {each.value for each in OptimizerName}:
        names = ", ".join(each.value for each in OptimizerName)
        raise SettingError(f"--optimizer is {asked.optimizer!r}, which is none of {names}.")
    run = RunSettings(
        LoraConfig(rank=asked.rank, algorithm=Algorithm(asked.algorithm)),
        # The rate is what each of them takes; memory does not depend on it.
        OptimizerConfig(name=OptimizerName(asked.optimizer), learning_rate=1.0),
        TrainConfig(batch_size=asked.batch, gradient_checkpointing=asked.checkpointing),
        MaskLossSettings(prior_weight=1.0) if asked.prior else None,
    )
    base = BaseConfig(BasePrecision(asked.base_precision), asked.blocks_in_main_memory)
    return Setup(run, _size(asked.resolution), asked.frames, Weights(asked.weights), base)


def with_cache(setup: Setup, asked: Asked, model: ComfyPlannedModel) -> Setup:
    """The same on the largest pictures of the cache, where one is named."""
    if asked.cache is None:
        return setup
    size, frames = model.largest_size(open_cache(asked.cache))
    return replace(setup, size=size, frames=frames)


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise SettingError(f"--resolution is {text!r}; write 1024, or width x height as 1280x720.")
    width, height = int(sides[0]), int(sides[-1])
    return width, height
