"""Train LoRA, Demo Models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ..core.cache.store import LatentCache
from ..core.comfy.model.references import ReferenceMethod
from ..core.comfy.model.sampling import ComfySampling
from ..core.demo.denoiser import DemoDenoiser
from ..core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from ..core.frozen.config import BaseConfig, BasePrecision
from ..core.host import current_host
from ..core.host.observer import HostObserver
from ..core.mask_weights import MaskLossSettings
from ..core.paths import resolve_write
from ..core.plan.fit import Fit
from ..core.train.config import (
    LoraConfig,
    LoraDtype,
    OnExisting,
    OptimizerConfig,
    TimestepSampling,
    TrainConfig,
    TrainingDtype,
)
from ..core.train.finished import finished_run
from ..core.train.loop import train
from ..core.train.recipe import TrainingRecipe
from ..core.warning import warn
from .checks import verdict, widget_values
from .devices import peers_for, train_on
from .models import check_fit, identity_of, open_model, warn_of_method
from .node import Node
from .sockets import (
    ANY_MODEL,
    BOOLEAN,
    CACHE,
    COMBO,
    DEMO_CLIP,
    DEMO_MODEL,
    DEMO_VAE,
    FLOAT,
    INT,
    LORA_CONFIG,
    LOSS_SETTINGS,
    OPTIMIZER,
    RARE,
    SAMPLING,
    SEED,
    SOCKET,
    STRING,
)
from .written import OUTPUTS

MAX_STEPS = 10_000_000


class MaskLossTrainLora(Node):
    TITLE = "Train LoRA (Mask Loss)"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "Trains a LoRA on a cache, every latent cell counting as its mask says. Resumes where it was stopped."
    SEARCH_ALIASES = ("train lora", "masked loss", "fine-tune", "finetune")
    RETURN_TYPES = ("LORA_MODEL", "LOSS_MAP", "INT", "STRING")
    RETURN_NAMES = ("lora", "loss", "steps", "path")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": SOCKET(ANY_MODEL, "The model that learns; it is not changed."),
                "cache": SOCKET(CACHE, "From Cache Text or Load Cache."),
                "steps": INT(1000, 1, MAX_STEPS, "Optimizer steps in all; raise it to train a finished run further."),
            },
            "optional": {
                "mask_loss": SOCKET(LOSS_SETTINGS, "How masks act; unconnected = plain unmasked training."),
                "lora_config": SOCKET(LORA_CONFIG, "The adapter; unconnected = its defaults."),
                "optimizer": SOCKET(OPTIMIZER, "Unconnected = AdamW with its defaults."),
                "sampling": SOCKET(SAMPLING, "Pictures of the LoRA while it is trained; from Sampling."),
                "validation_cache": SOCKET(CACHE, "Its loss is measured and never trained on."),
                "initial_lora": SOCKET("LORA_MODEL", "Where to start from instead of nothing."),
                "batch_size": INT(1, 1, 256, "Samples in one forward pass."),
                "gradient_accumulation_steps": RARE(INT(1, 1, 1024, "Forward passes per optimizer step.")),
                "seed": SEED("Fixes the start, the order, the noise and the timesteps."),
                "timestep_sampling": RARE(COMBO(TimestepSampling, "Distribution of the timesteps.")),
                "timestep_min": RARE(FLOAT(0.0, 0, 1, 0.001, "Least t = timestep / 1000 after the shift; 1 is noise.")),
                "timestep_max": RARE(FLOAT(1.0, 0, 1, 0.001, "Greatest t.")),
                "gradient_checkpointing": RARE(BOOLEAN(True, "Less memory for some more time.")),
                "caption_dropout": RARE(FLOAT(0.0, 0, 1, 0.05, "How often the empty caption is trained instead.")),
                "validation_split": FLOAT(0.0, 0, 0.99, 0.05, "Fraction of photographs held back for validation."),
                "save_every": INT(0, 0, MAX_STEPS, "A numbered LoRA every so many steps; 0 = only at the end."),
                "output_name": STRING("loras/maskloss/lora", "Under output, without suffix."),
                "on_existing": RARE(
                    COMBO(OnExisting, "Where output_name was used: resume that run, number a new one, overwrite.")
                ),
                "training_dtype": RARE(COMBO(TrainingDtype, "Compute dtype of the model.")),
                "lora_dtype": RARE(COMBO(LoraDtype, "Dtype of the trained weights.")),
                "min_snr_gamma": RARE(FLOAT(0.0, 0, 100, 0.5, "Min-SNR weighting of eps and v models; 0 = off.")),
                "guidance": RARE(
                    FLOAT(
                        0.0,
                        0,
                        100,
                        0.1,
                        "Given to a guidance-distilled model; 0 = as sampled: Flux 3.5, HunyuanVideo 6.",
                    )
                ),
                "background_tokens": RARE(
                    FLOAT(1.0, 0.01, 1, 0.01, "Fraction of the background's tokens in the middle blocks; 1 = all.")
                ),
                "base_precision": RARE(
                    COMBO(
                        BasePrecision,
                        "How the frozen weights are kept in training; int8 = half the memory of bf16, nvfp4 = under a "
                        "third.",
                    )
                ),
                "blocks_in_main_memory": RARE(
                    INT(0, 0, 1000, "Frozen blocks that are brought onto the device as they are needed; 0 = none.")
                ),
                "compile_blocks": RARE(
                    BOOLEAN(False, "Compile the model's blocks: minutes at the start, then shorter steps.")
                ),
                "devices": RARE(
                    INT(1, 1, 64, "Cards that train together, each on its part of every step; needs as many cards.")
                ),
                "fit": RARE(
                    COMBO(
                        Fit,
                        "What cannot fit into memory is refused before it begins; insist = try it; checkpoint = with "
                        "gradient_checkpointing, where that is off and it does not fit without; shard = each of "
                        "several devices keeps a part of the model.",
                    )
                ),
                "reference_method": RARE(
                    COMBO(ReferenceMethod, "How an edit model places control images; as in the sampling workflow.")
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        timestep_min: float | None = 0.0,
        timestep_max: float | None = 1.0,
        background_tokens: float | None = 1.0,
    ) -> bool | str:
        # A linked value comes as None; the run checks it.
        given = {"background_tokens": background_tokens}
        if timestep_min is not None and timestep_max is not None:
            given |= {"timestep_min": timestep_min, "timestep_max": timestep_max}
        known = {name: value for name, value in given.items() if value is not None}
        return verdict(lambda: TrainConfig(**known))  # pyright: ignore[reportArgumentType]

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(
        self,
        model: Any,
        cache: LatentCache,
        steps: int,
        mask_loss: MaskLossSettings | None = None,
        lora_config: LoraConfig | None = None,
        optimizer: OptimizerConfig | None = None,
        sampling: ComfySampling | None = None,
        validation_cache: LatentCache | None = None,
        initial_lora: Mapping[str, torch.Tensor] | None = None,
        batch_size: int = 1,
        gradient_accumulation_steps: int = 1,
        seed: int = 0,
        timestep_sampling: str = "uniform",
        timestep_min: float = 0.0,
        timestep_max: float = 1.0,
        gradient_checkpointing: bool = True,
        caption_dropout: float = 0.0,
        validation_split: float = 0.0,
        save_every: int = 0,
        output_name: str = "loras/maskloss/lora",
        on_existing: str = "resume",
        training_dtype: str = "auto",
        lora_dtype: str = "fp32",
        min_snr_gamma: float = 0.0,
        guidance: float = 0.0,
        background_tokens: float = 1.0,
        base_precision: str = "as_loaded",
        blocks_in_main_memory: int = 0,
        compile_blocks: bool = False,
        devices: int = 1,
        fit: str = "refuse",
        reference_method: str = "auto",
    ) -> dict[str, Any]:
        given = widget_values(type(self), locals())
        host = current_host()
        output = resolve_write(host.folders(), output_name, "output_name")
        ranks = host.ranks()
        # Under torchrun its number of processes counts.
        launched = devices if ranks.size == 1 else 1
        config = TrainConfig(
            steps=steps,
            batch_size=batch_size,
            gradient_accumulation_steps=gradient_accumulation_steps * ranks.size * launched,
            seed=seed,
            timestep_sampling=TimestepSampling(timestep_sampling),
            timestep_min=timestep_min,
            timestep_max=timestep_max,
            gradient_checkpointing=gradient_checkpointing,
            caption_dropout=caption_dropout,
            validation_split=validation_split,
            save_every=save_every,
            on_existing=OnExisting(on_existing),
            training_dtype=TrainingDtype(training_dtype),
            lora_dtype=LoraDtype(lora_dtype),
            min_snr_gamma=min_snr_gamma,
            background_tokens=background_tokens,
        )
        peers = None if launched > 1 else peers_for(Fit(fit), ranks)
        base = BaseConfig(BasePrecision(base_precision), blocks_in_main_memory, compile_blocks, peers)
        recipe = TrainingRecipe(
            cache,
            mask_loss,
            lora_config or LoraConfig(),
            optimizer or OptimizerConfig(),
            config,
            validation_cache,
            initial_lora,
        )
        with HostObserver(host, steps, output_name) as watched:
            effective_guidance, method = guidance or None, ReferenceMethod(reference_method)
            identity = identity_of(model, effective_guidance, base, method)
            if effective_guidance is not None and identity == identity_of(model, None, base, method):
                warn(f"guidance is {guidance:g}, but {identity} takes none and ignores it.")
            warn_of_method(model, method, cache)
            result = ranks.from_first(lambda: finished_run(identity, recipe, output, watched, sampling))
            if result is None and launched > 1:
                result = train_on(launched, host, model, identity, recipe, given, watched)
            if result is None:
                begins = check_fit(model, recipe, base, Fit(fit), method)
                for text in begins.said:
                    watched.say(text)
                checkpoint = ranks.any(begins.checkpoint)
                if checkpoint != begins.checkpoint:
                    watched.say("gradient_checkpointing is on, because another device needs it.")
                recipe = replace(recipe, config=replace(config, gradient_checkpointing=checkpoint))
                dropout = recipe.lora.dropout > 0
                with open_model(
                    model, cache, config.training_dtype, effective_guidance, dropout, base, method
                ) as denoiser:
                    result = train(denoiser, recipe, output, watched, sampling, ranks=ranks)
        OUTPUTS.note(result.path)
        summary = {"path": str(result.path), "steps": result.steps, "loss": result.points[-1].loss}
        ui = {"text": watched.said, "said": watched.remarks, "maskloss": [summary], "images": watched.shown}
        return {"ui": ui, "result": (result.lora, result.loss_map, result.steps, str(result.path))}


class MaskLossDemoModels(Node):
    TITLE = "Demo Models"
    CATEGORY = "MaskLoss/Load"
    DESCRIPTION = "Tiny built-in models for a test drive: everything runs, nothing has to be downloaded."
    SEARCH_ALIASES = ("demo", "test model", "tiny model")
    RETURN_TYPES = (DEMO_MODEL, DEMO_VAE, DEMO_CLIP)
    RETURN_NAMES = ("model", "vae", "clip")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"optional": {"seed": SEED("Fixes the model's weights.")}}

    def run(self, seed: int = 0) -> tuple[DemoDenoiser, DemoLatentEncoder, DemoTextEncoder]:
        return DemoDenoiser(seed), DemoLatentEncoder(), DemoTextEncoder()


NODES = (MaskLossTrainLora, MaskLossDemoModels)
