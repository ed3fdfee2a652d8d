"""Buckets against values worked out by hand from musubi-tuner's algorithm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskloss.core.dataset.buckets import bucket_for, bucket_sizes
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.errors import SettingError


def test_the_list_for_64x64_is_the_one_worked_out_by_hand() -> None:
    # area 4096, side 64: widths 32, 48, 64 give heights 4096//w rounded down to 16: 128, 80 (85), 64.
    assert bucket_sizes(LoadSettings(resolution=(64, 64))) == ((32, 128), (48, 80), (64, 64), (80, 48), (128, 32))


def test_a_side_that_is_no_multiple_of_the_step_reaches_one_step_further() -> None:
    # area 10000, side 100: widths from 48 below 116: 48 64 80 96 112 → heights 208, 144 (156), 112 (125), 96 (104), 80.
    sizes = bucket_sizes(LoadSettings(resolution=(100, 100)))
    assert sizes == (
        (48, 208), (64, 144), (80, 112), (96, 96), (112, 80), (144, 64), (208, 48),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [
        ((1000, 1000), (1024, 1024)),
        ((4000, 3000), (1184, 880)),  # aspect 1.3333: 1168/896 = 1.3036, 1184/880 = 1.3455 (errors 0.0297 and 0.0121)
        ((600, 900), (832, 1248)),  # 0.6667: 832/1248 = 0.6667
        ((1, 10), (512, 2048)),  # the narrowest there is
        ((10, 1), (2048, 512)),
    ],
)
def test_the_nearest_aspect_at_1024(image_size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert bucket_for(image_size, LoadSettings()) == expected


def test_without_buckets_it_is_the_resolution() -> None:
    assert bucket_for((4000, 100), LoadSettings(resolution=(512, 768), enable_bucket=False)) == (512, 768)


def test_no_upscale_keeps_a_small_image_and_still_buckets_a_large_one() -> None:
    settings = LoadSettings(resolution=(512, 512), bucket_no_upscale=True)
    assert bucket_for((333, 250), settings) == (320, 240)
    assert bucket_for((9, 500), settings) == (16, 496)
    assert bucket_for((2000, 2000), settings) == (512, 512)


def test_the_step_is_kept_by_every_bucket() -> None:
    sizes = bucket_sizes(LoadSettings(resolution=(1024, 1024), bucket_step=64))
    assert (1024, 1024) in sizes
    assert all(width % 64 == 0 and height % 64 == 0 for width, height in sizes)


def test_bounds_take_the_extreme_buckets_away() -> None:
    settings = LoadSettings(resolution=(64, 64), min_bucket=48, max_bucket=80)
    assert bucket_sizes(settings) == ((48, 80), (64, 64), (80, 48))
    assert bucket_for((10, 100), settings) == (48, 80)


def test_bounds_that_leave_nothing_say_so() -> None:
    with pytest.raises(SettingError, match="No bucket of 64x64 has sides from 72 to 79 px"):
        bucket_sizes(LoadSettings(resolution=(64, 64), min_bucket=72, max_bucket=79))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bucket_step": 0}, "bucket_step is 0"),
        ({"resolution": (8, 64)}, "8x64 is smaller than one bucket step"),
        ({"min_bucket": -1}, "both must be 0"),
        ({"min_bucket": 128, "max_bucket": 64}, "is larger than max_bucket"),
    ],
)
def test_settings_that_contradict_are_refused(changes: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        LoadSettings(**changes)


def buckets_by_musubi(width: int, height: int, step: int) -> list[tuple[int, int]]:
    """musubi-tuner's BucketSelector, written down from its algorithm and not from ours."""
    area = width * height
    sizes = set()
    side = int(np.sqrt(area))
    narrowest = side // 2 - side // 2 % step
    for one in range(narrowest, side + step, step):
        if one:
            other = area // one
            other -= other % step
            sizes |= {(one, other), (other, one)}
    return sorted(sizes)


@given(
    st.integers(8, 160), st.integers(8, 160), st.sampled_from([8, 16, 32]), st.integers(1, 6000), st.integers(1, 6000)
)
def test_buckets_agree_with_musubi_at_every_resolution(
    across: int, down: int, step: int, width: int, height: int
) -> None:
    settings = LoadSettings(resolution=(across * 8, down * 8), bucket_step=step)
    expected = buckets_by_musubi(across * 8, down * 8, step)
    assert list(bucket_sizes(settings)) == expected
    aspects = np.array([one / other for one, other in expected])
    assert bucket_for((width, height), settings) == expected[int(np.abs(aspects - width / height).argmin())]
