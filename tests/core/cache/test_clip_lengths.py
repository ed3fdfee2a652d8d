"""Clips of lengths that a video model's autoencoder does not keep whole are refused before anything is encoded."""

import pytest
from maskloss.core.cache.clip_lengths import check_clip_length
from maskloss.core.cache.encoders import frame_groups
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import SettingError

from .test_latents_of_clips import JoiningEncoder


class Pictures(DemoLatentEncoder):
    temporal_stride = 0


class Groups(JoiningEncoder):
    """Joins 1, 2 and 4 frames, over and over, and cuts off what is left."""

    def frame_groups(self, frames: int) -> tuple[int, ...]:
        whole, rest = divmod(frames, 7)
        return (1, 2, 4) * whole + ((1, 2) if rest >= 3 else (1,) if rest else ())


def test_an_encoder_joins_as_many_frames_as_it_says() -> None:
    assert frame_groups(JoiningEncoder(), 9) == (1, 4, 4)
    assert frame_groups(DemoLatentEncoder(), 3) == frame_groups(Pictures(), 3) == (1, 1, 1)
    assert frame_groups(Groups(), 10) == (1, 2, 4, 1, 2)


def test_lengths_that_are_kept_pass() -> None:
    for encoder, frames in (
        (JoiningEncoder(), 1),
        (JoiningEncoder(), 9),
        (Pictures(), 1),
        (Groups(), 1),
        (Groups(), 21),
    ):
        check_clip_length("film", frames, encoder)


@pytest.mark.parametrize(
    ("encoder", "frames", "said"),
    [
        (Pictures(), 5, "this VAE \\(demo\\) is a picture model's"),
        (JoiningEncoder(), 7, "joins 4 at a time after the first; give target_frames of 1 \\+ n·4"),
        (Groups(), 5, "would keep 3 of them; give target_frames of 1 or 17"),
        (Groups(), 25, "would keep 24 of them; give target_frames of 21 or 29"),
    ],
)
def test_others_are_refused_with_what_is_near(encoder: DemoLatentEncoder, frames: int, said: str) -> None:
    with pytest.raises(SettingError, match=f"^film gives clips of {frames} frames.*{said}"):
        check_clip_length("film", frames, encoder)
