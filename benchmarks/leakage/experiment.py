"""One contender, one seed: train the LoRA, draw its pictures, score them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from maskloss.core.cache.store import LatentCache
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TimestepSampling, TrainConfig, TrainingDtype
from maskloss.core.train.loop import train
from maskloss.core.train.recipe import TrainingRecipe
from torch import nn

from . import scores
from .contenders import Contender
from .dataset import draw_training_scenes, make_cache
from .denoiser import WorldDenoiser
from .formulas import train_with_formula
from .network import decode_latents, embed_caption, sample_latents
from .routing import relative_cost, train_routed
from .scores import Prompt
from .world import BACKGROUNDS, NEW, PLACES, SIDE_PX, SIZES, SUBJECTS, write_caption

_LATENT = (12, 1, SIDE_PX // 2, SIDE_PX // 2)
_EVALUATION_SEED = 1_000_000


@dataclass(frozen=True)
class Setup:
    """What all contenders share."""

    steps: int = 80
    batch: int = 4
    rank: int = 16
    learning_rate: float = 4e-3
    sampler_steps: int = 10

    def recipe(self, contender: Contender, seed: int) -> TrainingRecipe:
        """The contender's training: everything but mask and loss is the seed's."""
        scenes = draw_training_scenes(seed)
        cache = make_cache(scenes, contender.mask, contender.grid, contender.background_named, contender.crops)
        settings = contender.settings
        if contender.formula is not None and settings is not None:
            settings = MaskLossSettings(probability=settings.probability)
        return self.recipe_for(cache, settings, seed)

    def recipe_for(self, cache: LatentCache, settings: MaskLossSettings | None, seed: int) -> TrainingRecipe:
        """Training on a cache with these settings."""
        return TrainingRecipe(
            cache,
            settings,
            LoraConfig(rank=self.rank, alpha=float(self.rank)),
            OptimizerConfig(learning_rate=self.learning_rate),
            TrainConfig(
                steps=self.steps,
                batch_size=self.batch,
                seed=seed,
                timestep_sampling=TimestepSampling.LOGIT_NORMAL,
                gradient_checkpointing=False,
                training_dtype=TrainingDtype.FP32,
            ),
        )


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is drawn with a LoRA: `ours_NHWC` by prompts with the trigger word, `others_NHWC` by other subjects'
    prompts, `anyone_NHWC` by prompts that name no subject. Float32 RGB in [0, 1]."""

    ours_NHWC: np.ndarray
    others_NHWC: np.ndarray
    anyone_NHWC: np.ndarray


def trigger_prompts() -> list[Prompt]:
    """The new subject before every background at every place, the sizes in turn."""
    return [
        Prompt(NEW.name, list(SIZES)[(row + column) % 2], place, background)
        for row, background in enumerate(BACKGROUNDS)
        for column, place in enumerate(PLACES)
    ]


def other_prompts() -> list[Prompt]:
    """Every base subject at every place, sizes and backgrounds in turn."""
    return [
        Prompt(subject.name, list(SIZES)[(row + column) % 2], place, BACKGROUNDS[(row + 2 * column) % len(BACKGROUNDS)])
        for row, subject in enumerate(SUBJECTS)
        for column, place in enumerate(PLACES)
    ]


def anyone_prompts() -> list[Prompt]:
    """A figure without a name before every background."""
    places = list(PLACES)
    return [Prompt(None, list(SIZES)[i % 2], places[i % 3], name) for i, name in enumerate(BACKGROUNDS)]


class Laboratory:
    """A base model, and what its own pictures are for each seed."""

    def __init__(self, network: nn.Module, identity: str, setup: Setup) -> None:
        self.denoiser, self.setup = WorldDenoiser(network, identity), setup
        self._base: dict[int, Pictures] = {}

    def run(self, contender: Contender, seed: int) -> dict[str, float]:
        """The contender's mean scores for one seed."""
        return score_pictures(self.draw(self.train(contender, seed), seed), self.base_pictures(seed))

    def train(self, contender: Contender, seed: int) -> Mapping[str, torch.Tensor]:
        """The LoRA, by its file keys."""
        recipe = self.recipe(contender, seed)
        if contender.routing is not None:
            return train_routed(self.denoiser, recipe, contender.routing)
        if contender.formula is not None:
            return train_with_formula(self.denoiser, recipe, contender.formula)
        with tempfile.TemporaryDirectory() as directory:
            return dict(train(self.denoiser, recipe, Path(directory) / "lora").lora)

    def recipe(self, contender: Contender, seed: int) -> TrainingRecipe:
        """The contender's training, with as many steps more as steps with routed tokens cost less where that is so."""
        recipe = self.setup.recipe(contender, seed)
        if contender.cost_of is None:
            return recipe
        steps = round(self.setup.steps / relative_cost(self.denoiser, recipe, contender.cost_of))
        return replace(recipe, config=replace(recipe.config, steps=steps))

    def base_pictures(self, seed: int) -> Pictures:
        """The base model's own pictures from the seed's noise."""
        if seed not in self._base:
            self._base[seed] = self._drawn(seed)
        return self._base[seed]

    def draw(self, lora: Mapping[str, torch.Tensor], seed: int) -> Pictures:
        """The pictures with a LoRA, from the same noise as the base model's."""
        with self._attached(lora):
            return self._drawn(seed)

    def draw_groups(
        self,
        groups: Sequence[Sequence[Prompt]],
        companions: Sequence[str | None],
        lora: Mapping[str, torch.Tensor] | None,
        seed: int,
    ) -> list[np.ndarray]:
        """(N,32,32,3) for each group of prompts, which may all name a companion; without a LoRA the base model's."""
        captions = [
            caption_of(prompt, companion)
            for group, companion in zip(groups, companions, strict=True)
            for prompt in group
        ]
        with nullcontext() if lora is None else self._attached(lora):
            pictures_NHWC = self._pictures(captions, seed)
        return np.split(pictures_NHWC, np.cumsum([len(group) for group in groups])[:-1])

    def _attached(self, lora: Mapping[str, torch.Tensor]) -> AbstractContextManager[None]:
        config = LoraConfig(rank=self.setup.rank, alpha=float(self.setup.rank))
        adapters = LoraAdapters(
            self.denoiser.module,
            config,
            self.denoiser.default_targets,
            torch.Generator(),
            torch.device("cpu"),
            torch.float32,
        )
        adapters.load(lora)
        return adapters.attach()

    def _drawn(self, seed: int) -> Pictures:
        groups = (trigger_prompts(), other_prompts(), anyone_prompts())
        pictures = self._pictures([caption_of(prompt) for group in groups for prompt in group], seed)
        first, second = len(groups[0]), len(groups[0]) + len(groups[1])
        return Pictures(pictures[:first], pictures[first:second], pictures[second:])

    def _pictures(self, captions: Sequence[str], seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(_EVALUATION_SEED + seed)
        noise = torch.randn(len(captions), *_LATENT, generator=generator)
        words = torch.stack([embed_caption(caption) for caption in captions])
        return decode_latents(sample_latents(self.denoiser.module, noise, words, self.setup.sampler_steps)).numpy()


def caption_of(prompt: Prompt, companion: str | None = None) -> str:
    """The prompt as the model is told it."""
    return write_caption(prompt.subject, prompt.size, prompt.place, prompt.background, companion)


def score_pictures(drawn: Pictures, base: Pictures) -> dict[str, float]:
    """Means over the pictures, by the names of `benchmarks.leakage.scores`."""
    ours, others = trigger_prompts(), other_prompts()
    plain = np.concatenate([drawn.others_NHWC, drawn.anyone_NHWC])
    values = {
        "fit": scores.fit(drawn.ours_NHWC, ours),
        "leak": scores.leak(drawn.ours_NHWC, ours),
        "bleed": scores.bleed(drawn.others_NHWC, base.others_NHWC, others),
        "drift": scores.drift(plain, np.concatenate([base.others_NHWC, base.anyone_NHWC])),
        "watermark": scores.watermark_leak(drawn.ours_NHWC, ours),
        "hair": scores.fit_hair(drawn.ours_NHWC, ours),
        "setting": scores.setting(drawn.ours_NHWC, ours),
    }
    return {name: float(np.nanmean(each)) for name, each in values.items()}
