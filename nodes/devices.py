"""Train LoRA on several devices: what its node hands to the processes that train."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core.cache.store import LatentCache, open_cache
from ..core.demo.denoiser import DemoDenoiser
from ..core.errors import CacheError, SettingError, TrainingError
from ..core.host import Host
from ..core.host.hand_over import ApiNode, HandOver
from ..core.host.launch import refuse_devices, train_in_processes
from ..core.host.observer import HostObserver
from ..core.plan.fit import Fit
from ..core.tensor_files import write_tensors
from ..core.train.finished import TrainResult, saved_result
from ..core.train.lora_file import LoraWeights
from ..core.train.ranks import Ranks
from ..core.train.recipe import TrainingRecipe
from ..core.train.run import CHANGES_NO_VALUE, facts_of_run, run_identity
from ..core.warning import collect_warnings, warn
from .models import unload


def train_on(
    devices: int,
    host: Host,
    model: Any,
    identity: str,
    recipe: TrainingRecipe,
    given: Mapping[str, Any],
    watched: HostObserver,
) -> TrainResult:
    """What `train` gives, trained by as many processes as `devices`, which run the node once more without this program.

    `identity` is the one that the denoiser will have, `given` the values of the node's widgets. TrainingError where
    something of it cannot be handed over, and with the processes' reason where they fail.
    """
    refuse_devices(model.device if isinstance(model, DemoDenoiser) else torch.device(model.load_device), devices)
    own = host.own_prompt()
    if own is None:
        raise TrainingError(
            f"devices is {devices}, and the prompt that has this node is not known, as where another node made this "
            "one while it ran: nothing can be handed to other processes. Set devices to 1."
        )
    with tempfile.TemporaryDirectory(prefix="maskloss_devices_") as folder:
        handed = HandOver(Path(folder))
        prompt = own.leading_to({**given, "devices": 1}, _made_anew(recipe, handed))
        facts = facts_of_run(run_identity(identity, recipe), recipe)
        # Each card may need it or not, whatever this program knows.
        facts.pop(CHANGES_NO_VALUE, None)
        handed.write(prompt, facts, own.comfyui)
        unload(model)
        watched.say(f"Training in {devices} processes, a device each; they open the model first.")
        return saved_result(train_in_processes(devices, handed, host.folders(), own.comfyui, watched, warn))


def peers_for(fit: Fit, ranks: Ranks) -> Ranks | None:
    """The processes over which the frozen blocks are sharded, where they are to be. SettingError where this one is
    alone."""
    if fit is not Fit.SHARD:
        return None
    if ranks.size == 1:
        raise SettingError(
            "fit is shard, which gives each device that trains a shard of the model's blocks, and there is one device. "
            "Set devices above 1, or fit to refuse."
        )
    return ranks


def _made_anew(recipe: TrainingRecipe, handed: HandOver) -> dict[str, ApiNode]:
    """For inputs that other processes have from disk, the nodes that read them."""
    nodes = {"cache": _load_cache(recipe.cache)}
    if recipe.validation_cache is not None:
        nodes["validation_cache"] = _load_cache(recipe.validation_cache)
    if recipe.initial_lora is not None:
        path = handed.folder / "initial_lora.safetensors"
        tensors = {name: each.detach().to("cpu").contiguous() for name, each in recipe.initial_lora.items()}
        metadata = recipe.initial_lora.metadata if isinstance(recipe.initial_lora, LoraWeights) else {}
        write_tensors(path, tensors, {"format": "pt", **metadata})
        nodes["initial_lora"] = {"class_type": "MaskLossLoadLora", "inputs": {"path": str(path)}}
    return nodes


def _load_cache(cache: LatentCache) -> ApiNode:
    # What there is to say of it has been said.
    with collect_warnings(lambda _: None):
        there = open_cache(cache.directory)
    if there.fingerprint != cache.fingerprint:
        raise CacheError(
            f"devices is above 1, and {cache.directory} is not what this node was given any more, as where another "
            "node of the prompt caches into the same folder. Give each its own cache_directory, or set devices to 1."
        )
    return {"class_type": "MaskLossLoadCache", "inputs": {"cache_directory": str(cache.directory.absolute())}}
