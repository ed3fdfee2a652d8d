"""A choice that a function does not handle raises; none is taken for another."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import InternalError, SettingError, TrainingError
from maskloss.core.loss import elementwise_error, loss_normaliser, unnormalised_loss
from maskloss.core.mask_readings import MaskMeaning, StoredMask, as_told
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraDtype, TrainConfig
from maskloss.core.train.draws import timesteps
from maskloss.core.train.run import RunFiles, choose_run
from maskloss.core.train.state import LORA_DTYPES
from maskloss.core.train.window import min_snr_weight
from maskloss.core.video.clips import VideoSettings, clips_of


class Later(str, Enum):
    """A choice that somebody adds and writes nothing for."""

    NEW = "something new"


def with_new(config, name: str):
    """The configuration with `Later.NEW` under the name, past its own checks."""
    object.__setattr__(config, name, Later.NEW)
    return config


def test_an_error_and_a_normalisation() -> None:
    error, weights = torch.ones(1, 2, 1, 3, 3), torch.ones(1, 1, 1, 3, 3)
    with pytest.raises(InternalError, match="something new"):
        elementwise_error(error, with_new(MaskLossSettings(), "loss"))
    for function in (lambda: unnormalised_loss(error, weights, "mean"), lambda: loss_normaliser(weights, 2, "mean")):
        with pytest.raises(SettingError, match="mean"):
            function()


def test_a_distribution_of_timesteps_and_a_weight_of_them() -> None:
    even_B = torch.tensor([0.5], dtype=torch.float64)
    with pytest.raises(InternalError, match="something new"):
        timesteps(even_B, with_new(TrainConfig(), "timestep_sampling"), DemoDenoiser())
    with pytest.raises(TrainingError, match="predicts flow"):
        min_snr_weight(DemoDenoiser(), torch.tensor([0.5]), 5.0)


def test_what_happens_to_a_name_that_has_been_used(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "lora")
    files.lora.write_bytes(b"another run's")
    with pytest.raises(InternalError, match="something new"):
        choose_run(tmp_path / "lora", {}, Later.NEW)  # pyright: ignore[reportArgumentType]


def test_where_clips_are_taken_from() -> None:
    with pytest.raises(InternalError, match="something new"):
        clips_of([number / 16 for number in range(20)], with_new(VideoSettings(target_frames=(5,)), "extraction"))


def test_a_mask_that_means_nothing_yet() -> None:
    with pytest.raises(KeyError):
        as_told(StoredMask("RGB", 8, np.zeros((4, 4, 3), np.uint8)), MaskMeaning.AUTO, "a mask")


def test_every_type_of_a_loras_weights_is_one() -> None:
    assert set(LORA_DTYPES) == set(LoraDtype)
