"""The sample pictures of a run: drawn where they are due, and measured beside those that the base model draws from the
same noise."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import ModelRunError
from ..images import save_image
from ..scores.checkpoint_scores import CheckpointScores, Pictures, score_checkpoint
from ..warning import warn
from .denoiser import Denoiser
from .recipe import TrainingRecipe
from .recorder import Recorder
from .run import RunFiles
from .sampling import SAMPLING_FAILURES, PictureSampler, Samples, sample_is_due, sample_sheet, single_pictures
from .state import TrainState


class RunSamples:
    """Draws and measures for one run. The training photographs are read at its start; the base model's pictures are
    drawn when they are first needed, once for as long as the run goes on."""

    def __init__(
        self,
        sampling: PictureSampler,
        denoiser: Denoiser,
        recipe: TrainingRecipe,
        files: RunFiles,
        recorder: Recorder,
    ) -> None:
        self._sampling, self._denoiser, self._steps = sampling, denoiser, recipe.config.steps
        self._files, self._recorder, self._check = files, recorder, recorder.observer.check
        for text in sampling.notes(denoiser, recipe.cache):
            warn(text)
        self._scorer = sampling.scorer(recipe.cache, _Checked(self._check))
        self._base: Pictures | None = None

    def take(self, state: TrainState) -> None:
        """Draw and measure where it is due and not done yet (a run may have been stopped meanwhile).

        A failure after the first step is a warning; before it, it is raised: nothing is lost, and what is connected
        wrongly should be known now.
        """
        if not sample_is_due(state.step, self._steps, self._sampling.every):
            return
        path = self._files.sample(state.step)
        scored = self._scorer is None or state.history.scores_at(state.step) is not None
        if path.exists() and scored:
            return
        state.adapters.set_dropout_seeds(())
        try:
            with state.adapters.swapped_in(state.result_values):
                samples = self._sampling.draw(self._denoiser, self._check)
            picture = sample_sheet(samples)
            save_image(path, picture)
            scores = None if scored else self._measure(state, samples)
        except (*SAMPLING_FAILURES, ModelRunError) as problem:
            if state.step == 0:
                raise
            warn(f"No sample picture after step {state.step}: {problem}. Training goes on.")
            return
        self._recorder.record_sample(state.step, picture, scores)

    def _measure(self, state: TrainState, samples: Samples) -> CheckpointScores | None:
        if self._scorer is None:
            return None
        if self._base is None:
            self._base = self._base_pictures(state)
        return score_checkpoint(state.step, single_pictures(samples), self._base, self._scorer, self._check)

    def _base_pictures(self, state: TrainState) -> Pictures:
        with state.adapters.disable(), torch.no_grad():
            samples = self._sampling.draw(self._denoiser, self._check)
        save_image(self._files.base_sample, sample_sheet(samples))
        return single_pictures(samples)


class _Checked:
    """A Progress that only lets an interrupt through."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def update(self, done: int, total: int, text: str = "", preview_HWC: object = None) -> None:
        self._check()
