"""The training loop, in the order in which things happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..cache.store import LatentCache
from ..mask_weights import MaskLossSettings
from .checks import check_training, split_cache
from .config import LoraConfig, LossPoint, OptimizerConfig, TrainConfig
from .curves import Curves
from .denoiser import Denoiser
from .lora_file import LoraWeights, load_lora, save_lora
from .loss_log import LossLog, LossMap, ValidationPoint, loss_map
from .metadata import lora_metadata
from .observer import SilentObserver, TrainObserver
from .order import TrainingOrder
from .run import RunFiles, choose_run, run_identity
from .state import Identity, SavedState, TrainState
from .step import RegionSums, micro_batch_loss, refuse_non_finite
from .validation import validation_loss
from .window import plan_window


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished run. `lora` is on the CPU, by its file keys; `path` is its file."""

    lora: LoraWeights
    points: tuple[LossPoint, ...]
    steps: int
    path: Path
    validation: tuple[ValidationPoint, ...] = ()

    @property
    def loss_map(self) -> LossMap:
        """ComfyUI's LOSS_MAP; see `core.train.loss_log.loss_map`."""
        return loss_map(self.points, self.validation)


def train(
    denoiser: Denoiser,
    cache: LatentCache,
    settings: MaskLossSettings | None,
    lora: LoraConfig,
    optimizer: OptimizerConfig,
    config: TrainConfig,
    output: Path,
    observer: TrainObserver | None = None,
    validation_cache: LatentCache | None = None,
    initial_lora: Mapping[str, torch.Tensor] | None = None,
) -> TrainResult:
    """Train a LoRA into `<output>.safetensors`, or return it when this very run is on disk already.

    Without `settings` every latent cell counts the same. The state and a loadable LoRA are on disk whenever this
    returns or raises after training began, so a later call with the same arguments goes on. Raises TrainingError,
    CacheError, MaskMissingError, NonFiniteLossError, and whatever `observer` raises.
    """
    # Inside a node everything runs in inference_mode, whose tensors cannot be differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        run = _Run(denoiser, cache, settings, lora, optimizer, config, observer or SilentObserver(), validation_cache)
        return run.train(output, initial_lora)


class _Run:
    def __init__(
        self,
        denoiser: Denoiser,
        cache: LatentCache,
        settings: MaskLossSettings | None,
        lora: LoraConfig,
        optimizer: OptimizerConfig,
        config: TrainConfig,
        observer: TrainObserver,
        validation_cache: LatentCache | None,
    ) -> None:
        self.denoiser, self.cache, self.settings, self.config = denoiser, cache, settings, config
        self.lora, self.optimizer, self.observer = lora, optimizer, observer
        self.validation_cache = validation_cache
        self.split = split_cache(cache, validation_cache, config)
        self.named: set[str] = set()

    def train(self, output: Path, initial_lora: Mapping[str, torch.Tensor] | None) -> TrainResult:
        notes = check_training(self.denoiser, self.cache, self.split, self.settings, self.config)
        identity = run_identity(
            self.denoiser,
            self.cache,
            self.settings,
            self.lora,
            self.optimizer,
            self.config,
            self.validation_cache,
            initial_lora,
        )
        state = TrainState(self.denoiser, self.lora, self.optimizer, self.config, initial_lora)
        files, saved = choose_run(output, identity, self.config.on_existing)
        if saved:
            state.restore(saved)
        self.observer.begin(state.points, state.validation)
        if saved and saved.step >= self.config.steps:
            return self._finished(state, files, saved)
        for note in (*notes, f"LoRA on {len(state.adapters.layer_names)} layers of {self.denoiser.identity}."):
            self.observer.say(note)
        if saved:
            self.observer.say(f"Going on after step {saved.step} of {self.config.steps}.")
        log = LossLog(files.log, state.points, state.validation)
        try:
            with state.adapters.attached(), Curves(files.curves, state.step) as curves:
                self._steps(state, files, identity, log, curves)
        finally:
            if state.whole:
                self._save(state, files, identity)
        return self._result(state, files)

    def _steps(self, state: TrainState, files: RunFiles, identity: Identity, log: LossLog, curves: Curves) -> None:
        config, entries = self.config, self.split.training
        order = TrainingOrder(
            [entry.latent_shape for entry in entries],
            [entry.repeats for entry in entries],
            config.batch_size,
            config.seed,
        )
        per_step = config.gradient_accumulation_steps
        if state.step == 0:
            self._validate(state, log, curves)
        while state.step < config.steps:
            first = state.step * per_step
            batches = [order.batch(position) for position in range(first, first + per_step)]
            window = plan_window(batches, self.cache, entries, self.settings, config, self.denoiser)
            state.zero_grad()
            loss, sums = 0.0, RegionSums()
            for micro in window.micro_batches:
                self.observer.check()
                with self.denoiser.recording(config.gradient_checkpointing):
                    result = micro_batch_loss(
                        micro,
                        window,
                        self.denoiser,
                        state.adapters,
                        self.cache,
                        self.settings,
                        config.training_dtype,
                        config.gradient_checkpointing,
                    )
                    refuse_non_finite(result, micro, state.step + 1)
                    result.loss.backward()
                loss, sums = loss + float(result.loss.detach()), sums + result.sums
            grad_norm = state.clip()
            point = state.update(loss, *sums.means, window.coverage, grad_norm, window.near_zero)
            log.add(point)
            curves.add(point)
            self._name_empty(window.near_zero)
            last = state.step == config.steps
            save = config.save_every > 0 and state.step % config.save_every == 0 and not last
            if save or last or (first + per_step) // order.batches_per_epoch > first // order.batches_per_epoch:
                self._validate(state, log, curves)
            if save:
                self._save(state, files, identity)
                save_lora(files.numbered(state.step), self._lora(state))
            self.observer.step(point, config.steps)

    def _validate(self, state: TrainState, log: LossLog, curves: Curves) -> None:
        """Evaluate unless there is nothing to, or it was done at this step already."""
        if not self.split.validation or any(step == state.step for step, _ in state.validation):
            return
        with state.adapters.holding(state.result_values):
            value = validation_loss(
                self.split, self.denoiser, state.adapters, self.settings, self.config, self.observer
            )
        state.validation.append((state.step, value))
        log.add_validation(state.step, value)
        curves.add_validation(state.step, value)
        self.observer.validated(state.step, value)

    def _name_empty(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.named:
                self.named.add(name)
                self.observer.say(f"WARNING: the mask of {name} is (almost) empty on the latent grid; it adds nothing.")

    def _lora(self, state: TrainState) -> LoraWeights:
        tensors = state.adapters.state_dict(state.result_values)
        return LoraWeights(
            tensors,
            lora_metadata(
                self.denoiser,
                self.cache,
                self.split.training,
                self.settings,
                self.lora,
                self.optimizer,
                self.config,
                state.step,
            ),
        )

    def _save(self, state: TrainState, files: RunFiles, identity: Identity) -> None:
        # The state first: a LoRA without its state would be taken for somebody else's file.
        state.save(files.state, identity)
        save_lora(files.lora, self._lora(state))

    def _finished(self, state: TrainState, files: RunFiles, saved: SavedState) -> TrainResult:
        self.observer.say(f"{files.lora} is this very run, finished after {saved.step} steps: nothing to train.")
        if not files.lora.exists():
            save_lora(files.lora, self._lora(state))
        return self._result(state, files)

    def _result(self, state: TrainState, files: RunFiles) -> TrainResult:
        return TrainResult(load_lora(files.lora), tuple(state.points), state.step, files.lora, tuple(state.validation))
