from __future__ import annotations

import numpy as np
import pytest
import torch
from maskloss.core.errors import ImageError, SettingError
from maskloss.nodes.sockets import (
    COMBO,
    SEED,
    broadcast,
    check_same_size,
    image_from_pictures,
    mask_from_masks,
    masks_from_mask,
    only,
    pictures_from_image,
)


def test_pictures_survive_the_round_trip_bit_for_bit() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.stack([values, values[::-1], values.T], axis=-1)
    image = image_from_pictures([picture, 255 - picture])
    assert image.shape == (2, 16, 16, 3)
    assert image.dtype == torch.float32
    assert float(image.max()) == 1.0
    first, second = pictures_from_image(image)
    assert np.array_equal(first, picture)
    assert np.array_equal(second, 255 - picture)


def test_an_alpha_channel_is_dropped_and_values_are_clamped() -> None:
    image = torch.full((1, 2, 2, 4), 1.5)
    image[..., 0] = -1
    (picture,) = pictures_from_image(image)
    assert picture.shape == (2, 2, 3)
    assert picture[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 2, 1), (1, 3, 2, 2), (0, 2, 2, 3)])
def test_other_image_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="image"):
        pictures_from_image(torch.zeros(shape))


def test_smaller_pictures_are_centred_in_the_batch() -> None:
    image = image_from_pictures([np.full((2, 2, 3), 255, np.uint8), np.full((4, 6, 3), 255, np.uint8)])
    assert image.shape == (2, 4, 6, 3)
    assert float(image[0].sum()) == 2 * 2 * 3
    assert float(image[0, 1:3, 2:4].min()) == 1


def test_masks_of_both_shapes() -> None:
    assert [mask.shape for mask in masks_from_mask(torch.zeros(3, 4))] == [(3, 4)]
    masks = masks_from_mask(torch.rand(2, 3, 4))
    assert torch.equal(mask_from_masks(masks), torch.from_numpy(np.stack(masks)))
    assert masks_from_mask(torch.zeros(0, 3, 4)) == []


def test_masks_that_are_none_are_refused() -> None:
    with pytest.raises(ImageError, match=r"candidates has the shape \(1, 2, 3, 4\)"):
        masks_from_mask(torch.zeros(1, 2, 3, 4), "candidates")
    with pytest.raises(ImageError, match="NaN"):
        masks_from_mask(torch.full((2, 2), float("nan")))


def test_broadcast_repeats_single_entries_and_refuses_the_rest() -> None:
    assert broadcast({"weights": [1], "image": [2, 3]}) == {"weights": [1, 1], "image": [2, 3]}
    with pytest.raises(ImageError, match="weights holds 2 and image holds 3; give one for all"):
        broadcast({"weights": [1, 2], "image": [3, 4, 5]})


def test_sizes_are_named_in_width_and_height() -> None:
    with pytest.raises(ImageError, match="weights is 4x3 and image is 6x5"):
        check_same_size("weights", np.zeros((3, 4)), "image", np.zeros((5, 6, 3)))


def test_only() -> None:
    assert only([3], "face_index") == 3
    assert only("plain", "directory") == "plain"
    with pytest.raises(SettingError, match="face_index holds 2 values"):
        only([1, 2], "face_index")


def test_declarations() -> None:
    assert COMBO(("a", "b"), "tip") == ("COMBO", {"options": ["a", "b"], "default": "a", "tooltip": "tip"})
    assert SEED("tip")[1]["control_after_generate"] is False
