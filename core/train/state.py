"""What a run is between two optimizer steps, in memory and in `<output>.state`, so that a resumed run equals an
uninterrupted one."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import NonFiniteLossError, TrainingError
from ..files import atomic_write, refuse_special
from ..scores.checkpoint_scores import scores_from_json
from .adapters import LoraAdapters
from .config import LoraDtype, TrainingDtype
from .denoiser import Denoiser
from .loss_log import points_from_json, points_to_json
from .loss_scale import LossScale
from .metrics import History, LossPoint
from .order import stream_seed
from .prior import Teacher
from .recipe import TrainingRecipe
from .updates import MovingAverage, build_optimizer, effective_rate, evaluated_values, learning_rate_at

LORA_DTYPES = {LoraDtype.FP32: torch.float32, LoraDtype.BF16: torch.bfloat16}
_FORMAT = "maskloss-state-2"
_REMEDY = "choose on_existing overwrite to start again, or another output_name"
# What zipfile and torch raise on bytes of any kind.
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error, IndexError,
    KeyError, OverflowError, TypeError,
)  # fmt: skip
_NOT_OURS = (
    pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, struct.error, LookupError, TypeError,
    AttributeError, ArithmeticError, AssertionError, ImportError,
)  # fmt: skip

Identity = dict[str, str | int | float | bool]


@dataclass(frozen=True, eq=False)
class SavedState:
    """A state file's content."""

    identity: Identity
    step: int
    adapter: list[torch.Tensor]
    optimizer: dict[str, Any]
    average: list[torch.Tensor]
    teacher: list[torch.Tensor]
    loss_scale: tuple[float, int]
    history: History
    warnings: list[str]


class TrainState:
    """Adapter, optimizer, moving average, and the history so far. `whole` is False only during an update. `people`:
    whose items there are, by name."""

    def __init__(self, denoiser: Denoiser, recipe: TrainingRecipe) -> None:
        optimizer, config = recipe.optimizer, recipe.config
        generator = torch.Generator().manual_seed(stream_seed("lora", config.seed))
        dtype = LORA_DTYPES[config.lora_dtype]
        self.adapters = LoraAdapters(
            denoiser.module, recipe.lora, denoiser.default_targets, generator, denoiser.device, dtype
        )
        if recipe.initial_lora is not None:
            self.adapters.load(recipe.initial_lora, denoiser.lora_architecture)
        self.people = sorted({entry.subject for entry in recipe.cache.entries if entry.subject})
        self.step = 0
        self.history = History()
        self.whole = True
        self._parameters = self.adapters.parameters
        self._config = optimizer
        self._steps = config.steps
        self._optimizer = build_optimizer(optimizer, self._parameters)
        self._average = MovingAverage(optimizer.ema_decay, self._parameters) if optimizer.ema_decay > 0 else None
        self.teacher = Teacher(recipe.settings, self.adapters)
        self._loss_scale = LossScale() if config.training_dtype is TrainingDtype.FP16 else None

    @property
    def result_values(self) -> list[torch.Tensor]:
        """The values that are evaluated and saved: the moving average, or the optimizer's own, where there is one."""
        if self._average:
            return [value.detach() for value in self._average.values]
        return evaluated_values(self._optimizer, self._parameters)

    def zero_grad(self) -> None:
        """Forget gradients, as before an accumulation window."""
        self._optimizer.zero_grad(set_to_none=True)

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go backward from."""
        return self._loss_scale.scale_loss(loss) if self._loss_scale else loss

    def clip(self) -> float | None:
        """Clip the gradient where asked; its norm before that. NonFiniteLossError when it is not finite; but None when
        it overflowed because of fp16's loss scale, which is smaller now, and the step is to be tried again."""
        limit = self._config.max_grad_norm if self._config.max_grad_norm > 0 else float("inf")
        if self._loss_scale:
            self._loss_scale.unscale(self._parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, limit))
        if norm < float("inf"):
            if self._loss_scale:
                self._loss_scale.record_success()
        elif self._loss_scale and self._loss_scale.reduce():
            return None
        else:
            raise NonFiniteLossError(
                f"The gradient became {norm} in step {self.step + 1}; the LoRA is as it was before this step. "
                "Lower the learning rate or train in fp32."
            )
        return norm

    def update(
        self,
        loss: float,
        inside: float | None,
        outside: float | None,
        coverage: float,
        grad_norm: float,
        near_zero: tuple[str, ...],
        prior: float | None = None,
        tokens: float | None = None,
        regularisation: float | None = None,
        dop: float | None = None,
        people: Mapping[str, float] | None = None,
    ) -> LossPoint:
        """One optimizer step and its moving average; returns the step's point, which is taken into the history."""
        rate = learning_rate_at(self.step, self._steps, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.whole = False
        self._optimizer.step()
        rate = effective_rate(self._optimizer)
        if self._average:
            self._average.update(self._parameters, self.step)
        self.teacher.follow(self.step)
        self.step += 1
        more = (near_zero, prior, tokens, regularisation, dop, people or {})
        point = LossPoint(self.step, loss, inside, outside, coverage, rate, grad_norm, *more)
        self.history.points.append(point)
        self.whole = True
        return point

    def restore(self, saved: SavedState) -> None:
        """Go back to a saved state. ValueError, KeyError, TypeError or RuntimeError where it does not fit the run."""
        with torch.no_grad():
            for parameter, value in zip(self._parameters, saved.adapter, strict=True):
                parameter.copy_(value)
            if self._average:
                for mine, value in zip(self._average.values, saved.average, strict=True):
                    mine.copy_(value)
            for mine, value in zip(self.teacher.values, saved.teacher, strict=True):
                mine.copy_(value)
        if self._loss_scale:
            self._loss_scale.restore(saved.loss_scale)
        self._optimizer.load_state_dict(saved.optimizer)
        self.step = saved.step
        self.history = saved.history.copy()

    def save(self, path: Path, identity: Identity, warnings: Sequence[str] = ()) -> None:
        """Write the state and what was warned of so far, whole or not at all. DiskError when the disk is full or
        refuses."""
        history = {
            "points": points_to_json(self.history.points),
            "validation": self.history.validation,
            "warnings": list(warnings),
            "scores": [each.to_json() for each in self.history.scores],
        }
        content = {
            "format": _FORMAT,
            "identity": json.dumps(identity),
            "step": self.step,
            "adapter": [parameter.detach().cpu() for parameter in self._parameters],
            "optimizer": self._optimizer.state_dict(),
            "average": [value.cpu() for value in self._average.values] if self._average else [],
            "teacher": [value.cpu() for value in self.teacher.values],
            "loss_scale": self._loss_scale.to_save if self._loss_scale else (1.0, 0),
            "course": json.dumps(history),
        }
        with atomic_write(path) as temporary:
            try:
                torch.save(content, temporary)
            except RuntimeError as problem:  # whatever the disk refuses, a full one too
                raise OSError(f"it was cut off: {problem}") from problem


def load_state(path: Path) -> SavedState:
    """Read a state file. TrainingError when it is damaged or of another version, naming it and the way out."""
    content = _content(path)
    if not isinstance(content, dict) or "format" not in content:
        raise _unreadable(path, "it holds something else")
    if content["format"] != _FORMAT:
        raise TrainingError(f"{path} is no training state of this version ({_FORMAT}); {_REMEDY}.")
    try:
        history, identity = json.loads(content["course"]), json.loads(content["identity"])
        lists = [content[name] for name in ("adapter", "average", "teacher")]
        if not all(isinstance(each, list) and all(map(torch.is_tensor, each)) for each in lists):
            raise TypeError("no tensors")
        if [type(each) for each in (content["step"], identity, content["optimizer"])] != [int, dict, dict]:
            raise TypeError("of another kind")
        points, warnings = points_from_json(history["points"]), history.get("warnings", [])
        if [point.step for point in points] != list(range(1, len(points) + 1)) or len(points) != content["step"]:
            raise ValueError("steps are missing")
        if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
            raise TypeError("no texts")
        return SavedState(
            identity,
            content["step"],
            content["adapter"],
            content["optimizer"],
            content["average"],
            content["teacher"],
            content["loss_scale"],
            History(
                points,
                [(step, value) for step, value in history["validation"]],
                [scores_from_json(each) for each in history.get("scores", [])],
            ),
            warnings,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise _unreadable(path, "a part of it is missing or of another kind") from problem


def _content(path: Path) -> Any:
    """What torch wrote. The file's own checksums are looked at first: torch does not, and says of most damage either
    nothing or how to read the file unsafely."""
    try:
        refuse_special(path)
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except OSError as problem:
        raise _unreadable(path, problem.strerror or "its end is missing") from problem
    except _BROKEN_ARCHIVE as problem:
        raise _unreadable(path, "it is empty, cut off or overwritten") from problem
    if broken is not None:
        raise _unreadable(path, f"the checksum of {broken} in it is wrong")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_OURS as problem:
        raise _unreadable(path, "torch cannot read it, or it holds more than numbers") from problem


def _unreadable(path: Path, why: str) -> TrainingError:
    return TrainingError(f"The training state {path} is damaged or of something else ({why}); {_REMEDY}.")
