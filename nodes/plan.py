"""Memory Plan."""

from __future__ import annotations

from typing import Any

from ..core.cache.store import LatentCache
from ..core.comfy.find import require_comfyui
from ..core.comfy.model.full_size import full_size_models
from ..core.comfy.model.planned import ComfyPlannedModel, planned_by_name, planned_model
from ..core.errors import SettingError
from ..core.frozen.config import BaseConfig, BasePrecision
from ..core.host import current_host
from ..core.mask_weights import MaskLossSettings
from ..core.plan.measured import known_measurements
from ..core.plan.plan import plan_memory
from ..core.plan.setup import Setup, Weights
from ..core.plan.trial import RunSettings
from ..core.report.memory_table import memory_table
from ..core.train.config import LoraConfig, LoraDtype, OptimizerConfig, TrainConfig, TrainingDtype
from .node import Node
from .results import as_json, say, with_pictures
from .sockets import (
    BOOLEAN,
    CACHE,
    COMBO,
    INT,
    LORA_CONFIG,
    LOSS_SETTINGS,
    OPTIMIZER,
    RARE,
    SOCKET,
    image_from_pictures,
)
from .training import MAX_STEPS

CONNECTED = "model"


class MaskLossMemoryPlan(Node):
    TITLE = "Memory Plan"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "How much memory a training needs and which cards it fits, known before anything is loaded."
    SEARCH_ALIASES = ("vram", "out of memory", "oom", "memory estimate", "fits")
    RETURN_TYPES = ("STRING", "IMAGE")
    RETURN_NAMES = ("plan", "table")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "model": SOCKET("MODEL", "The model that shall learn; unconnected = the architecture, no weights."),
                "cache": SOCKET(CACHE, "Its largest bucket and longest caption count, not the size below."),
                "lora_config": SOCKET(LORA_CONFIG, "The adapter; unconnected = its defaults."),
                "optimizer": SOCKET(OPTIMIZER, "Unconnected = AdamW."),
                "mask_loss": SOCKET(LOSS_SETTINGS, "Prior and output preservation run the model more often."),
                "architecture": COMBO((CONNECTED, *full_size_models()), "The connected MODEL, or a published one."),
                "resolution_width": INT(1024, 16, 16384, "Of pictures, in pixels.", 16),
                "resolution_height": INT(1024, 16, 16384, "Of pictures, in pixels.", 16),
                "frames": INT(1, 1, 1025, "Of clips; 1 = pictures."),
                "batch_size": INT(1, 1, 256, "Samples in one forward pass."),
                "gradient_checkpointing": BOOLEAN(True, "Less memory for some more time."),
                "training_dtype": RARE(COMBO(TrainingDtype, "Compute dtype of the model; auto = bf16 on a card.")),
                "lora_dtype": RARE(COMBO(LoraDtype, "Dtype of the trained weights.")),
                "weights": RARE(COMBO(Weights, "Dtype of the frozen weights; model = the MODEL's own, else bf16.")),
                "base_precision": RARE(COMBO(BasePrecision, "As in Train LoRA.")),
                "blocks_in_main_memory": RARE(INT(0, 0, 1000, "As in Train LoRA.")),
                "steps": INT(1000, 1, MAX_STEPS, "Of the run: how long it takes on devices that were measured."),
            }
        }

    def run(
        self,
        model: Any = None,
        cache: LatentCache | None = None,
        lora_config: LoraConfig | None = None,
        optimizer: OptimizerConfig | None = None,
        mask_loss: MaskLossSettings | None = None,
        architecture: str = CONNECTED,
        resolution_width: int = 1024,
        resolution_height: int = 1024,
        frames: int = 1,
        batch_size: int = 1,
        gradient_checkpointing: bool = True,
        training_dtype: str = "auto",
        lora_dtype: str = "fp32",
        weights: str = "model",
        base_precision: str = "as_loaded",
        blocks_in_main_memory: int = 0,
        steps: int = 1000,
    ) -> dict[str, Any]:
        planned = _model_of(model, architecture, cache)
        config = TrainConfig(
            batch_size=batch_size,
            gradient_checkpointing=gradient_checkpointing,
            training_dtype=TrainingDtype(training_dtype),
            lora_dtype=LoraDtype(lora_dtype),
        )
        run = RunSettings(lora_config or LoraConfig(), optimizer or OptimizerConfig(), config, mask_loss)
        size = (resolution_width, resolution_height)
        if cache is not None:
            size, frames = planned.largest_size(cache)
        base = BaseConfig(BasePrecision(base_precision), blocks_in_main_memory)
        setup = Setup(run, size, frames, Weights(weights), base)
        plan = plan_memory(planned, setup, current_host().progress(), known_measurements(), steps)
        picture = memory_table(plan)
        result = (as_json(plan.to_json()), image_from_pictures([picture]))
        lines = plan.lines()
        said = [*lines[:2], *(each.words(steps) for each in plan.expected)]
        return with_pictures(result, [picture], "memory plan", text=["\n".join(lines)], said=say(said))


def _model_of(model: Any, architecture: str, cache: LatentCache | None) -> ComfyPlannedModel:
    if model is None and architecture == CONNECTED:
        raise SettingError("There is nothing to plan for: connect a MODEL, or choose an architecture.")
    require_comfyui()
    return planned_by_name(architecture) if architecture != CONNECTED else planned_model(model, cache)


NODES = (MaskLossMemoryPlan,)
