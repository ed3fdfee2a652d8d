from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from maskloss.core.segmenters.whole_picture import what_is_cut

SIDE = 64


class Processor:
    """What image processors of transformers do, in a few lines: `arrange` on (1, 3, h, w), then normalised."""

    def __init__(self, arrange: Callable[[torch.Tensor], torch.Tensor], **switches: bool) -> None:
        self._arrange = arrange
        self.__dict__.update(switches)

    def __call__(self, images: list[np.ndarray], return_tensors: str) -> dict[str, torch.Tensor]:
        (picture_HWC,) = images
        picture_BCHW = torch.from_numpy(picture_HWC).permute(2, 0, 1)[None].float() / 255
        return {"pixel_values": (self._arrange(picture_BCHW) - 0.45) / 0.22}


def resized(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(picture, (height, width), mode="bicubic", antialias=True)


def shorter_side(picture: torch.Tensor) -> torch.Tensor:
    scale = SIDE / min(picture.shape[2:])
    return resized(picture, round(picture.shape[2] * scale), round(picture.shape[3] * scale))


def cut_square(picture: torch.Tensor) -> torch.Tensor:
    small = shorter_side(picture)
    top, left = (small.shape[2] - SIDE) // 2, (small.shape[3] - SIDE) // 2
    return small[:, :, top : top + SIDE, left : left + SIDE]


def letterboxed(picture: torch.Tensor, mode: str) -> torch.Tensor:
    scale = SIDE / max(picture.shape[2:])
    small = resized(picture, round(picture.shape[2] * scale), round(picture.shape[3] * scale))
    down, across = (SIDE - small.shape[2]) // 2, (SIDE - small.shape[3]) // 2
    return torch.nn.functional.pad(small, (across, across, down, down), mode=mode)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda picture: resized(picture, SIDE, SIDE),
        lambda picture: resized(picture, 96, 32),
        lambda picture: resized(picture, 512, 384),
        shorter_side,
        lambda picture: picture,
    ],
)
def test_whatever_is_stretched_or_only_resized_arrives_whole(arrange) -> None:
    assert what_is_cut(Processor(arrange)) is None


@pytest.mark.parametrize(
    "arrange",
    [
        cut_square,
        lambda picture: letterboxed(picture, "constant"),
        lambda picture: letterboxed(picture, "replicate"),
        lambda picture: shorter_side(picture)[:, :, :SIDE, :SIDE],
        lambda picture: torch.cat([resized(picture, SIDE, SIDE)] * 2),  # in two pieces
        lambda picture: resized(picture, SIDE, SIDE)[:, None],
    ],
)
def test_cuts_and_borders_are_found_by_trying(arrange) -> None:
    assert what_is_cut(Processor(arrange)) == "a cut or a border of its own (Processor)"


def test_the_settings_that_say_so_are_named_without_a_trial() -> None:
    assert what_is_cut(SimpleNamespace(do_center_crop=True, do_pad=True)) == "do_center_crop and do_pad"
    assert what_is_cut(Processor(lambda picture: resized(picture, SIDE, SIDE), do_pad=False)) is None
