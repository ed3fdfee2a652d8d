"""Whether the autoencoder of a video model keeps all frames of a clip."""

from __future__ import annotations

from ..errors import SettingError
from .encoders import LatentEncoder, frame_groups

# Datasets cut clips of so many frames, and one more.
_STEP = 4
# More than any autoencoder needs to keep another of these lengths whole.
_SEARCHED = 100


def check_clip_length(name: str, frames: int, encoder: LatentEncoder) -> None:
    """SettingError where it does not keep all of the clips of `frames` frames that the item of that name gives."""
    stride = encoder.temporal_stride
    if frames > 1 and stride == 0:
        raise SettingError(
            f"{name} gives clips of {frames} frames, but this VAE ({encoder.architecture}) is a picture "
            "model's and would take them for separate pictures; set target_frames to 1, or connect a video model's VAE."
        )
    if stride and (frames - 1) % stride:
        raise SettingError(
            f"{name} gives clips of {frames} frames, but this VAE ({encoder.architecture}) joins {stride} "
            f"at a time after the first; give target_frames of 1 + n·{stride}."
        )
    kept = sum(frame_groups(encoder, frames))
    if kept == frames:
        return
    whole = [count for count in range(1, 2 * frames + _SEARCHED, _STEP) if sum(frame_groups(encoder, count)) == count]
    below, above = max(each for each in whole if each < frames), min(each for each in whole if each > frames)
    raise SettingError(
        f"{name} gives clips of {frames} frames, but this VAE ({encoder.architecture}) joins frames in groups and "
        f"would keep {kept} of them; give target_frames of {below} or {above}."
    )
