"""Which run an output name stands for: its files, its identity, and what happens when the name has been used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from ..errors import PathError, TrainingError, unhandled_choice
from ..paths import LONGEST_NAME
from ..version import source_digest
from ..warning import warn
from .config import OnExisting
from .loss_log import last_step
from .recipe import TrainingRecipe
from .state import Identity, SavedState, load_state

LORA_SUFFIX = ".safetensors"
_SAMPLE = re.compile(r"step_(\d{6,})\.png")


_ADDED_LATER = frozenset(
    {
        "train.background_tokens",
        *(
            f"mask_loss.{name}"
            for name in (
                "prior_min_t",
                "prior_decay",
                "prior_decay_start",
                "prior_warmup_steps",
                "prior_exclusive",
                "dop_weight",
                "dop_region",
                "trigger",
                "class_noun",
            )
        ),
    }
)
"""Settings that older runs do not have: part of a run's identity only where they are not at their default, so that
those runs go on."""


CHANGES_NO_VALUE = "train.gradient_checkpointing"
"""In a run's identity to be read there, and no difference between runs."""


@dataclass(frozen=True)
class RunFiles:
    """The files of one run, all beside each other: `<output>.safetensors`, `.state`, `.jsonl`, numbered LoRAs, sample
    pictures in `<output>.samples`; only TensorBoard's are in `tensorboard/<name>`, so that it shows all runs of a
    folder together."""

    output: Path

    def __post_init__(self) -> None:
        longest = len(os.fsencode(self.numbered_path(0).name))
        if longest > LONGEST_NAME:
            raise PathError(
                f"output_name: {self.output.name} gives names of {longest} bytes, and {LONGEST_NAME} are possible; "
                "choose a shorter one."
            )

    @property
    def lora(self) -> Path:
        return self._with(LORA_SUFFIX)

    @property
    def state(self) -> Path:
        return self._with(".state")

    @property
    def log(self) -> Path:
        return self._with(".jsonl")

    @property
    def curves(self) -> Path:
        return self.output.parent / "tensorboard" / self.output.name

    def sample(self, step: int) -> Path:
        """The picture sampled after `step` optimizer steps."""
        return self._with(".samples") / f"step_{step:06d}.png"

    @property
    def base_sample(self) -> Path:
        """What the base model drew in the last run, beside the samples."""
        return self._with(".samples") / "base.png"

    def newest_sample(self) -> tuple[int, Path] | None:
        """The last picture that was sampled, with its step."""
        steps = self.sampled_steps()
        return (steps[-1], self.sample(steps[-1])) if steps else None

    def sampled_steps(self) -> list[int]:
        """The steps after which pictures were sampled, ascending."""
        return sorted(int(found[1]) for path in self._samples() if (found := _SAMPLE.fullmatch(path.name)))

    def numbered_path(self, step: int) -> Path:
        """The LoRA as it was after `step` optimizer steps."""
        return self._with(f"-step{step:08d}{LORA_SUFFIX}")

    def remove(self) -> None:
        """Delete the run; the state first, so that no half of it passes for a run."""
        for path in (self.state, self.log, self.lora):
            path.unlink(missing_ok=True)
        for path in self.output.parent.glob(f"*{LORA_SUFFIX}"):
            digits = path.name.removeprefix(f"{self.output.name}-step").removesuffix(LORA_SUFFIX)
            if len(digits) == 8 and digits.isdigit():
                path.unlink()
        for path in (*self.curves.glob("events.out.tfevents.*"), *self._samples()):
            path.unlink()
        self.base_sample.unlink(missing_ok=True)

    def _samples(self) -> list[Path]:
        return [path for path in self._with(".samples").glob("step_*.png") if _SAMPLE.fullmatch(path.name)]

    def _with(self, ending: str) -> Path:
        return self.output.with_name(self.output.name + ending)


def run_identity(model: str, recipe: TrainingRecipe) -> Identity:
    """Everything that a run depends on but the number of steps, flat, as JSON keeps it. `model` is what the denoiser
    calls its `identity`."""
    identity: Identity = {
        "model": model,
        "cache": recipe.cache.fingerprint,
        "validation_cache": recipe.validation_cache.fingerprint if recipe.validation_cache else "none",
        "initial_lora": tensors_hash(recipe.initial_lora) if recipe.initial_lora is not None else "none",
        "mask_loss": "on" if recipe.settings else "off",
    }
    groups: list[tuple[str, Any]] = [("mask_loss", recipe.settings)] if recipe.settings else []
    groups += [("lora", recipe.lora), ("optimizer", recipe.optimizer), ("train", recipe.config)]
    for group, values in groups:
        for field in dataclasses.fields(values):
            key, value = f"{group}.{field.name}", getattr(values, field.name)
            if key not in {"train.steps", "train.on_existing"} and not (key in _ADDED_LATER and value == field.default):
                identity[key] = value.value if isinstance(value, Enum) else value
    return identity


def facts_of_run(identity: Identity, recipe: TrainingRecipe) -> dict[str, object]:
    """What must be the same in all processes that train together, by name: the run, and the code that runs it."""
    versions = {"version of torch": torch.__version__, "code of this pack": source_digest()}
    return {**identity, "train.steps": recipe.config.steps, **versions}


def choose_run(output: Path, identity: Identity, on_existing: OnExisting) -> tuple[RunFiles, SavedState | None]:
    """The files to train into and the state to go on from, if any.

    `new` takes the first of `<output>`, `<output>_002`, … that is free or holds this very run. TrainingError when
    `resume` finds another run, naming what differs, or a LoRA without its state.
    """
    files = RunFiles(output.with_name(output.name.removesuffix(LORA_SUFFIX)))
    if on_existing is OnExisting.OVERWRITE:
        files.remove()
        return files, None
    number = 1
    while files.state.exists() or files.lora.exists():
        saved = load_state(files.state) if files.state.exists() else None
        if saved and not _differing(saved.identity, identity):
            return files, saved
        if on_existing is OnExisting.RESUME:
            raise TrainingError(_other_run(files, identity, saved))
        if on_existing is not OnExisting.NEW:
            raise unhandled_choice(on_existing)
        number += 1
        files = RunFiles(output.with_name(f"{output.name.removesuffix(LORA_SUFFIX)}_{number:03d}"))
    return files, None


def warn_of_broken_off(files: RunFiles, step: int) -> None:
    """Name a run that a crash or a kill broke off behind `step`, from which training goes on: its log has more steps
    than its state, or no state at all."""
    logged = last_step(files.log)
    if logged > step:
        goes_on = (
            f"its last save is of step {step}, and it goes on from there"
            if step
            else ("before anything of it was saved, so it begins again at step 1")
        )
        warn(f"{files.lora} is a run that was broken off after step {logged}: {goes_on}.")


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hex SHA-256 over names, shapes and bytes, whatever the order."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].detach().to("cpu").contiguous()
        digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _other_run(files: RunFiles, identity: Identity, saved: SavedState | None) -> str:
    remedy = "Choose on_existing new for a numbered new run, overwrite to start again, or another output_name."
    if saved is None:
        return f"{files.lora} exists and has no training state beside it, so it is not known what it is. {remedy}"
    differences = [
        f"{name}: {_format_value(saved.identity.get(name))} there, {_format_value(identity.get(name))} now"
        for name in _differing(saved.identity, identity)
    ]
    return f"{files.lora} is another run; it differs in {'; '.join(differences)}. {remedy}"


def _differing(one: Identity, other: Identity) -> list[str]:
    """Names of what makes them different runs, in order."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name) and name != CHANGES_NO_VALUE
    ]


def _format_value(value: object) -> str:
    if isinstance(value, str) and len(value) > 24:
        value = value[:15] + "…"
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
