"""The training loop, in the order in which things happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import TrainingError
from ..files import sweep
from ..warning import Warnings, collect_warnings, warn
from .checks import check_training, refuse_nothing_learnt, split_cache
from .denoiser import Denoiser, compiled_note
from .finished import TrainResult, is_finished, refuse_nothing, result_from_disk
from .lora_file import LoraWeights, load_lora, save_lora
from .metadata import lora_metadata
from .observer import SilentObserver, TrainObserver
from .optimizer_step import count_numbers, optimizer_step
from .order import TrainingOrder
from .ranks import ALONE, Ranks
from .read_ahead import ReadAhead
from .recipe import TrainingRecipe
from .recorder import Recorder
from .run import RunFiles, choose_run, facts_of_run, run_identity, warn_of_broken_off
from .run_samples import RunSamples
from .sampling import PictureSampler
from .state import Identity, TrainState
from .token_saving import saving_lines
from .validation import validation_loss
from .window import Window, plan_window

SECONDS_BETWEEN_SAVES = 300.0


def train(
    denoiser: Denoiser,
    recipe: TrainingRecipe,
    output: Path,
    observer: TrainObserver | None = None,
    sampling: PictureSampler | None = None,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
) -> TrainResult:
    """Train a LoRA into `<output>.safetensors`, or return it when this very run is on disk already.

    With `sampling` pictures come beside the LoRA, and training is the same to the last bit. The state and a loadable
    LoRA are on disk whenever this returns or raises after training began, so a later call with the same arguments goes
    on; a crash costs at most what came after the last save, which is `SECONDS_BETWEEN_SAVES` of `clock` ago. Where
    nothing that counts was in any step there is no LoRA, and TrainingError says so. Raises TrainingError, CacheError,
    MaskMissingError, NonFiniteLossError, DiskError, and whatever `observer` raises.

    With several `ranks` each calls this with the same arguments; rank 0 alone writes, evaluates, samples and tells.
    """
    # Inside a node everything runs in inference_mode, whose tensors cannot be differentiated.
    with torch.inference_mode(False), torch.enable_grad(), collect_warnings() as warnings:
        return _Run(denoiser, recipe, observer or SilentObserver(), sampling, warnings, clock, ranks).train(output)


class _Run:
    def __init__(
        self,
        denoiser: Denoiser,
        recipe: TrainingRecipe,
        observer: TrainObserver,
        sampling: PictureSampler | None,
        warnings: Warnings,
        clock: Callable[[], float],
        ranks: Ranks,
    ) -> None:
        self.denoiser, self.recipe, self.observer, self.sampling = denoiser, recipe, observer, sampling
        self.warnings, self.clock, self.ranks = warnings, clock, ranks
        self.saved_at = clock()
        self.settings, self.config = recipe.settings, recipe.config
        self.split = split_cache(recipe.cache, recipe.validation_cache, recipe.config)
        self.named: set[str] = set()
        self.compiled = ""

    def train(self, output: Path) -> TrainResult:
        notes = check_training(self.denoiser, self.recipe, self.split)
        identity = run_identity(self.denoiser.identity, self.recipe)
        self._check_ranks(identity)
        state = TrainState(self.denoiser, self.recipe)
        files, saved = self.ranks.from_first(lambda: choose_run(output, identity, self.config.on_existing))
        if saved:
            try:
                state.restore(saved)
            except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as problem:
                raise TrainingError(
                    f"The training state {files.state} does not fit the run that it names; choose on_existing "
                    "overwrite to start again, or another output_name."
                ) from problem
            if self.ranks.from_first(lambda: is_finished(saved, files, self.recipe, self.sampling)):
                if not self.ranks.leads:
                    return self._result(state, files)
                if not files.lora.exists():
                    save_lora(files.lora, self._lora(state, files))
                return result_from_disk(files, saved, self.observer)
            for text in saved.warnings:
                warn(text)
        if not self.ranks.leads:
            return self._follow(state, files)
        self.observer.begin(state.history)
        adapters = state.adapters
        layers = f"LoRA on {len(adapters.layer_names)} layers of {self.denoiser.identity}: {adapters.listing}."
        saving = saving_lines(self.denoiser, self.settings, self.recipe.cache, self.split.training)
        for note in filter(None, (*notes, layers, self.denoiser.weights_note, *saving)):
            self.observer.say(note)
        if saved:
            self.observer.say(f"Going on after step {saved.step} of {self.config.steps}.")
        warn_of_broken_off(files, state.step)
        sweep(files.output.parent, subfolders=False)
        self.saved_at = self.clock()
        recorder = Recorder(files, state.history, self.observer)
        try:
            with state.adapters.attach(), recorder, self.ranks.telling(count_numbers(state.people)):
                self._steps(state, files, identity, recorder)
        finally:
            try:
                if state.whole:
                    self._save(state, files, identity)
            finally:
                self.ranks.saved()
        refuse_nothing(files, state.history.points)
        return TrainResult(load_lora(files.lora), state.history, files.lora)

    def _check_ranks(self, identity: Identity) -> None:
        """Before the first step: that each rank has something to do, and would do the same as the others."""
        size, entries = self.ranks.size, len(self.split.training)
        if size == 1:
            return
        if entries < size or self.config.gradient_accumulation_steps < size:
            raise TrainingError(
                f"{size} devices would share {entries} cached items in windows of "
                f"{self.config.gradient_accumulation_steps} micro-batches, so that some have nothing to do; train on "
                "fewer devices."
            )
        self.ranks.agree(facts_of_run(identity, self.recipe))

    def _follow(self, state: TrainState, files: RunFiles) -> TrainResult:
        """The part of a rank that does not lead."""
        order = TrainingOrder.of(self.split.training, self.config)
        reading = ReadAhead(lambda step: self._window(order, step), state.step, self.config.steps)
        with state.adapters.attach(), self.ranks.telling(count_numbers(state.people)), reading as windows:
            while state.step < self.config.steps:
                window = windows.take(self.observer.check)
                optimizer_step(
                    self.denoiser, state, window, self.settings, self.config, self.observer.check, self.ranks
                )
        refuse_nothing_learnt(state.history.points)
        return self._result(state, files)

    def _result(self, state: TrainState, files: RunFiles) -> TrainResult:
        return TrainResult(self._lora(state, files), state.history, files.lora)

    def _steps(self, state: TrainState, files: RunFiles, identity: Identity, recorder: Recorder) -> None:
        config, order = self.config, TrainingOrder.of(self.split.training, self.config)
        samples = self._samples(files, recorder)
        # A run may have been stopped between a step and what follows from it.
        self._measure(state, order, recorder)
        self._sample_and_save(state, samples, files, identity)
        with ReadAhead(lambda step: self._window(order, step), state.step, config.steps) as windows:
            while state.step < config.steps:
                window = windows.take(self.observer.check)
                point = optimizer_step(
                    self.denoiser, state, window, self.settings, config, self.observer.check, self.ranks
                )
                recorder.record_step(point)
                self._say_compiled(state.step)
                self._name_empty(window.near_zero)
                self._name_covered(window.covered)
                self._measure(state, order, recorder)
                recorder.announce(config.steps)
                self._sample_and_save(state, samples, files, identity)

    def _keeps(self, step: int) -> bool:
        """Whether a numbered LoRA is kept after so many steps; the last one has the run's own name."""
        every = self.config.save_every
        return every > 0 and 0 < step < self.config.steps and step % every == 0

    def _sample_and_save(
        self, state: TrainState, samples: RunSamples | None, files: RunFiles, identity: Identity
    ) -> None:
        # Sampled before, so that a numbered LoRA carries its own scores.
        if samples:
            samples.take(state)
        keeps = self._keeps(state.step)
        if keeps or self.clock() - self.saved_at >= SECONDS_BETWEEN_SAVES:
            self._save(state, files, identity)
        if keeps:
            save_lora(files.numbered_path(state.step), self._lora(state, files))

    def _window(self, order: TrainingOrder, step: int) -> Window:
        """What optimizer step `step` (0-based) trains on; read in the background."""
        per_step = self.config.gradient_accumulation_steps
        batches = [order.batch(position) for position in range(step * per_step, (step + 1) * per_step)]
        recipe, entries = self.recipe, self.split.training
        return plan_window(batches, recipe.cache, entries, self.settings, self.config, self.denoiser, self.ranks)

    def _samples(self, files: RunFiles, recorder: Recorder) -> RunSamples | None:
        if self.sampling is None:
            return None
        return RunSamples(self.sampling, self.denoiser, self.recipe, files, recorder)

    def _measure(self, state: TrainState, order: TrainingOrder, recorder: Recorder) -> None:
        """Evaluate where it is due, unless there is nothing to, or it was done at this step already."""
        step, per_step = state.step, self.config.gradient_accumulation_steps
        epoch_ends = step > 0 and order.epoch_of(step * per_step) > order.epoch_of((step - 1) * per_step)
        due = step in (0, self.config.steps) or self._keeps(step) or epoch_ends
        if not due or not self.split.validation or state.history.is_validated(step):
            return
        with state.adapters.swapped_in(state.result_values):
            value = validation_loss(
                self.split, self.denoiser, state.adapters, self.settings, self.config, self.observer
            )
        if value is None:
            warn("The masks of all that is held back for validation are empty, so there is nothing to evaluate.")
            return
        recorder.record_validation(step, value)

    def _say_compiled(self, step: int) -> None:
        note = compiled_note(self.denoiser)
        if note != self.compiled:
            self.compiled = note
            self.observer.say(f"Step {step}: {note}")

    def _name_empty(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.named:
                self.named.add(name)
                warn(f"The mask of {name} is (almost) empty on the latent grid; it adds nothing.")

    def _name_covered(self, names: tuple[str, ...]) -> None:
        if names and not any(text.startswith("background_tokens ") for text in self.warnings.texts):
            warn(
                f"background_tokens saves nothing at {names[0]}: the mask, with the cells around it, covers the whole "
                "picture. Of other items it is not said again; the log has under `tokens` what ran."
            )

    def _lora(self, state: TrainState, files: RunFiles) -> LoraWeights:
        tensors = state.adapters.state_dict(state.result_values)
        training, scores = self.split.training, state.history.scores_at(state.step)
        metadata = lora_metadata(self.denoiser, self.recipe, training, state.step, files.lora.stem, scores)
        return LoraWeights(tensors, metadata)

    def _save(self, state: TrainState, files: RunFiles, identity: Identity) -> None:
        # The state first: a LoRA without its state would be taken for somebody else's file.
        state.save(files.state, identity, self.warnings.texts)
        save_lora(files.lora, self._lora(state, files))
        self.saved_at = self.clock()
