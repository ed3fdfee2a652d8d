"""A training run that is done: what it gives, and how it is found on disk, with the model or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError, TrainingError
from ..images import load_image
from ..scores.checkpoint_scores import CheckpointScores
from ..warning import warn
from .checks import refuse_nothing_learnt
from .config import OnExisting
from .lora_file import LoraWeights, load_lora
from .loss_log import LossLog, LossMap, loss_map
from .metrics import History, LossPoint, ValidationPoint
from .observer import TrainObserver
from .recipe import TrainingRecipe
from .run import LORA_SUFFIX, RunFiles, choose_run, run_identity
from .sampling import PictureSampler
from .state import SavedState, load_state


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished run. `lora` is on the CPU, by its file keys; `path` is its file."""

    lora: LoraWeights
    history: History
    path: Path

    @property
    def steps(self) -> int:
        """Optimizer steps that are done."""
        return len(self.history.points)

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """One for each optimizer step."""
        return tuple(self.history.points)

    @property
    def validation(self) -> tuple[ValidationPoint, ...]:
        """(step, loss) of each evaluation."""
        return tuple(self.history.validation)

    @property
    def scores(self) -> tuple[CheckpointScores, ...]:
        """Those of each scored checkpoint."""
        return tuple(self.history.scores)

    @property
    def loss_map(self) -> LossMap:
        """ComfyUI's LOSS_MAP; see `core.train.loss_log.loss_map`."""
        return loss_map(self.history)


def finished_run(
    model: str,
    recipe: TrainingRecipe,
    output: Path,
    observer: TrainObserver,
    sampling: PictureSampler | None = None,
) -> TrainResult | None:
    """What `train` would return from disk, found without the model; None where it has something to do or to refuse.

    `model` is the `identity` that its denoiser will have.
    """
    config = recipe.config
    caches = [cache for cache in (recipe.cache, recipe.validation_cache) if cache is not None]
    stale = any(each.stale_entries or each.find_stale_entries() for each in caches)
    if stale or config.on_existing is OnExisting.OVERWRITE:
        return None
    files, saved = choose_run(output, run_identity(model, recipe), config.on_existing)
    if saved is None or not is_finished(saved, files, recipe, sampling) or not files.lora.exists():
        return None
    return result_from_disk(files, saved, observer)


def saved_result(lora: Path) -> TrainResult:
    """The run whose LoRA this is, as another process left it. TrainingError, PathError where it is damaged or gone."""
    files = RunFiles(lora.with_name(lora.name.removesuffix(LORA_SUFFIX)))
    return TrainResult(load_lora(files.lora), load_state(files.state).history, files.lora)


def refuse_nothing(files: RunFiles, points: Sequence[LossPoint]) -> None:
    """TrainingError where nothing was learnt; then nothing of the run is kept, as its name would be refused to the same
    run on better masks."""
    try:
        refuse_nothing_learnt(points)
    except TrainingError:
        files.remove()
        raise


def is_finished(saved: SavedState, files: RunFiles, recipe: TrainingRecipe, sampling: PictureSampler | None) -> bool:
    """Whether nothing is left to do: it may have been stopped after its last step, and before what is measured then."""
    if saved.step != recipe.config.steps:
        return saved.step > recipe.config.steps
    history, newest = saved.history, files.newest_sample()
    # Without any evaluation there was none to make, and pictures that nobody had drawn so far are not asked for now.
    lacks_sample = sampling is not None and newest is not None and newest[0] < saved.step
    return not lacks_sample and (not history.validation or history.is_validated(saved.step))


def result_from_disk(files: RunFiles, saved: SavedState, observer: TrainObserver) -> TrainResult:
    """The finished run of these files, told to `observer`; a log that was deleted is written again."""
    for text in saved.warnings:
        warn(text)
    observer.begin(saved.history)
    refuse_nothing(files, saved.history.points)
    if not files.log.exists():
        LossLog(files.log, saved.history)
    observer.say(f"{files.lora} is this very run, finished after {saved.step} steps: nothing to train.")
    newest = files.newest_sample()
    if newest is not None:
        step, path = newest
        try:
            observer.on_sample(step, load_image(path)[0])
        except ImageError as problem:
            warn(f"The sample picture of step {step} cannot be shown: {problem}")
    return TrainResult(load_lora(files.lora), saved.history, files.lora)
