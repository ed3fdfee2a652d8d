"""The training loop, in the order in which things happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import ImageError, TrainingError
from ..files import sweep
from ..images import load_image
from ..scores.checkpoint_scores import CheckpointScores
from ..warning import Warnings, collect_warnings, warn
from .checks import check_training, refuse_nothing_learnt, split_cache
from .config import LossPoint, OnExisting
from .curves import Curves
from .denoiser import Denoiser
from .lora_file import LoraWeights, load_lora, save_lora
from .loss_log import LossLog, LossMap, ValidationPoint, loss_map
from .metadata import lora_metadata
from .observer import SilentObserver, TrainObserver
from .order import TrainingOrder
from .prior import prior_weight_at
from .read_ahead import ReadAhead
from .recipe import TrainingRecipe
from .run import RunFiles, choose_run, run_identity, warn_of_broken_off
from .run_samples import RunSamples
from .sampling import PictureSampler
from .state import Identity, SavedState, TrainState
from .step import MicroResult, RegionSums, micro_batch_loss, refuse_non_finite
from .validation import validation_loss
from .window import MicroBatch, Window, plan_window

SECONDS_BETWEEN_SAVES = 300.0


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished run. `lora` is on the CPU, by its file keys; `path` is its file."""

    lora: LoraWeights
    points: tuple[LossPoint, ...]
    steps: int
    path: Path
    validation: tuple[ValidationPoint, ...] = ()
    scores: tuple[CheckpointScores, ...] = ()

    @property
    def loss_map(self) -> LossMap:
        """ComfyUI's LOSS_MAP; see `core.train.loss_log.loss_map`."""
        return loss_map(self.points, self.validation, self.scores)


def train(
    denoiser: Denoiser,
    recipe: TrainingRecipe,
    output: Path,
    observer: TrainObserver | None = None,
    sampling: PictureSampler | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TrainResult:
    """Train a LoRA into `<output>.safetensors`, or return it when this very run is on disk already.

    With `sampling` pictures come beside the LoRA, and training is the same to the last bit. The state and a loadable
    LoRA are on disk whenever this returns or raises after training began, so a later call with the same arguments goes
    on; a crash costs at most what came after the last save, which is `SECONDS_BETWEEN_SAVES` of `clock` ago. Where
    nothing that counts was in any step there is no LoRA, and TrainingError says so. Raises TrainingError, CacheError,
    MaskMissingError, NonFiniteLossError, DiskError, and whatever `observer` raises.
    """
    # Inside a node everything runs in inference_mode, whose tensors cannot be differentiated.
    with torch.inference_mode(False), torch.enable_grad(), collect_warnings() as warnings:
        return _Run(denoiser, recipe, observer or SilentObserver(), sampling, warnings, clock).train(output)


def finished_run(model: str, recipe: TrainingRecipe, output: Path, observer: TrainObserver) -> TrainResult | None:
    """What `train` would return from disk, found without the model; None where it has something to do or to refuse.

    `model` is the `identity` that its denoiser will have.
    """
    config = recipe.config
    caches = [cache for cache in (recipe.cache, recipe.validation_cache) if cache is not None]
    if config.on_existing is OnExisting.OVERWRITE or any(
        each.stale_entries or each.find_stale_entries() for each in caches
    ):
        return None
    files, saved = choose_run(output, run_identity(model, recipe), config.on_existing)
    if saved is None or saved.step < config.steps or not files.lora.exists():
        return None
    for text in saved.warnings:
        warn(text)
    observer.begin(saved.points, saved.validation, saved.scores)
    _say_finished(files, saved, observer)
    lora, scores = load_lora(files.lora), tuple(saved.scores)
    return TrainResult(lora, tuple(saved.points), saved.step, files.lora, tuple(saved.validation), scores)


def _refuse_nothing(files: RunFiles, points: Sequence[LossPoint]) -> None:
    """TrainingError where nothing was learnt; then nothing of the run is kept, as its name would be refused to the same
    run on better masks."""
    try:
        refuse_nothing_learnt(points)
    except TrainingError:
        files.remove()
        raise


def _say_finished(files: RunFiles, saved: SavedState, observer: TrainObserver) -> None:
    _refuse_nothing(files, saved.points)
    if not files.log.exists():
        LossLog(files.log, saved.points, saved.validation, saved.scores)
    observer.say(f"{files.lora} is this very run, finished after {saved.step} steps: nothing to train.")
    newest = files.newest_sample()
    if newest is not None:
        step, path = newest
        try:
            observer.sampled(step, load_image(path)[0])
        except ImageError as problem:
            warn(f"The sample picture of step {step} cannot be shown: {problem}")


class _Run:
    def __init__(
        self,
        denoiser: Denoiser,
        recipe: TrainingRecipe,
        observer: TrainObserver,
        sampling: PictureSampler | None,
        warnings: Warnings,
        clock: Callable[[], float],
    ) -> None:
        self.denoiser, self.recipe, self.observer, self.sampling = denoiser, recipe, observer, sampling
        self.warnings, self.clock = warnings, clock
        self.saved_at = clock()
        self.settings, self.config = recipe.settings, recipe.config
        self.split = split_cache(recipe.cache, recipe.validation_cache, recipe.config)
        self.named: set[str] = set()

    def train(self, output: Path) -> TrainResult:
        notes = check_training(self.denoiser, self.recipe, self.split)
        identity = run_identity(self.denoiser.identity, self.recipe)
        state = TrainState(self.denoiser, self.recipe)
        files, saved = choose_run(output, identity, self.config.on_existing)
        if saved:
            try:
                state.restore(saved)
            except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as problem:
                raise TrainingError(
                    f"The training state {files.state} does not fit the run that it names; choose on_existing "
                    "overwrite to start again, or another output_name."
                ) from problem
            for text in saved.warnings:
                warn(text)
        self.observer.begin(state.points, state.validation, state.scores)
        if saved and saved.step >= self.config.steps:
            return self._finished(state, files, saved)
        adapters = state.adapters
        layers = f"LoRA on {len(adapters.layer_names)} layers of {self.denoiser.identity}: {adapters.listing}."
        for note in (*notes, layers):
            self.observer.say(note)
        if saved:
            self.observer.say(f"Going on after step {saved.step} of {self.config.steps}.")
        warn_of_broken_off(files, state.step)
        sweep(files.output.parent, subfolders=False)
        self.saved_at = self.clock()
        log = LossLog(files.log, state.points, state.validation, state.scores)
        try:
            with state.adapters.attached(), Curves(files.curves, state.step) as curves:
                self._steps(state, files, identity, log, curves)
        finally:
            if state.whole:
                self._save(state, files, identity)
        _refuse_nothing(files, state.points)
        return self._result(state, files)

    def _steps(self, state: TrainState, files: RunFiles, identity: Identity, log: LossLog, curves: Curves) -> None:
        config, order = self.config, TrainingOrder.of(self.split.training, self.config)
        per_step, per_epoch = config.gradient_accumulation_steps, order.batches_per_epoch
        samples = self._samples(files)
        if state.step == 0:
            self._validate(state, log, curves)
        if samples:
            samples.take(state, log, curves)
        with ReadAhead(lambda step: self._window(order, step), state.step, config.steps) as windows:
            while state.step < config.steps:
                window = windows.take(self.observer.check)
                point = self._optimizer_step(state, window)
                log.add(point)
                curves.add(point)
                self._name_empty(window.near_zero)
                last = state.step == config.steps
                save = config.save_every > 0 and state.step % config.save_every == 0 and not last
                epoch_ends = state.step * per_step // per_epoch > (state.step - 1) * per_step // per_epoch
                if save or last or epoch_ends:
                    self._validate(state, log, curves)
                self.observer.step(point, config.steps)
                # Before saving, so that a numbered LoRA carries its own scores.
                if samples:
                    samples.take(state, log, curves)
                if save or self.clock() - self.saved_at >= SECONDS_BETWEEN_SAVES:
                    self._save(state, files, identity)
                if save:
                    save_lora(files.numbered(state.step), self._lora(state, files))

    def _window(self, order: TrainingOrder, step: int) -> Window:
        """What optimizer step `step` (0-based) trains on; read in the background."""
        per_step = self.config.gradient_accumulation_steps
        batches = [order.batch(position) for position in range(step * per_step, (step + 1) * per_step)]
        return plan_window(batches, self.recipe.cache, self.split.training, self.settings, self.config, self.denoiser)

    def _optimizer_step(self, state: TrainState, window: Window) -> LossPoint:
        # More than once only where fp16's loss scale was too large.
        while True:
            state.zero_grad()
            loss, sums, priors = 0.0, RegionSums(), list[float]()
            for micro in window.micro_batches:
                self.observer.check()
                result = self._backward(state, window, micro)
                loss, sums = loss + float(result.loss.detach()), sums + result.sums
                priors += [] if result.prior is None else [result.prior]
            grad_norm = state.clip()
            if grad_norm is not None:
                prior = sum(priors) if priors else None
                return state.update(loss, *sums.means, window.coverage, grad_norm, window.near_zero, prior)

    def _backward(self, state: TrainState, window: Window, micro: MicroBatch) -> MicroResult:
        config, settings = self.config, self.settings
        prior_weight = prior_weight_at(settings, state.step, config.steps) if settings else 0.0
        with self.denoiser.autograd_context(config.gradient_checkpointing):
            result = micro_batch_loss(
                micro,
                window,
                self.denoiser,
                state.adapters,
                state.teacher,
                settings,
                prior_weight,
                config.training_dtype,
                config.gradient_checkpointing,
            )
            refuse_non_finite(result, micro, state.step + 1)
            state.scaled(result.loss).backward()
        return result

    def _samples(self, files: RunFiles) -> RunSamples | None:
        if self.sampling is None:
            return None
        return RunSamples(self.sampling, self.denoiser, self.recipe, files, self.observer)

    def _validate(self, state: TrainState, log: LossLog, curves: Curves) -> None:
        """Evaluate unless there is nothing to, or it was done at this step already."""
        if not self.split.validation or any(step == state.step for step, _ in state.validation):
            return
        with state.adapters.holding(state.result_values):
            value = validation_loss(
                self.split, self.denoiser, state.adapters, self.settings, self.config, self.observer
            )
        if value is None:
            warn("The masks of all that is held back for validation are empty, so there is nothing to evaluate.")
            return
        state.validation.append((state.step, value))
        log.add_validation(state.step, value)
        curves.add_validation(state.step, value)
        self.observer.validated(state.step, value)

    def _name_empty(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.named:
                self.named.add(name)
                warn(f"The mask of {name} is (almost) empty on the latent grid; it adds nothing.")

    def _lora(self, state: TrainState, files: RunFiles) -> LoraWeights:
        tensors = state.adapters.state_dict(state.result_values)
        training, scores = self.split.training, next((one for one in state.scores if one.step == state.step), None)
        metadata = lora_metadata(self.denoiser, self.recipe, training, state.step, files.lora.stem, scores)
        return LoraWeights(tensors, metadata)

    def _save(self, state: TrainState, files: RunFiles, identity: Identity) -> None:
        # The state first: a LoRA without its state would be taken for somebody else's file.
        state.save(files.state, identity, self.warnings.texts)
        save_lora(files.lora, self._lora(state, files))
        self.saved_at = self.clock()

    def _finished(self, state: TrainState, files: RunFiles, saved: SavedState) -> TrainResult:
        _say_finished(files, saved, self.observer)
        if not files.lora.exists():
            save_lora(files.lora, self._lora(state, files))
        return self._result(state, files)

    def _result(self, state: TrainState, files: RunFiles) -> TrainResult:
        lora, scores = load_lora(files.lora), tuple(state.scores)
        return TrainResult(lora, tuple(state.points), state.step, files.lora, tuple(state.validation), scores)
