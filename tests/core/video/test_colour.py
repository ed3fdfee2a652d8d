"""Frames of every matrix, range, depth and transfer come out as the colours that were put in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from maskloss.core.mask_meaning import MaskMeaning
from maskloss.core.video.colour import Transfer
from maskloss.core.video.masks import read_mask_frames
from maskloss.core.video.reader import probe, read_frames

# By ITU-T H.273: the shares of red and blue in the luma of each matrix. 2 names none, and is read as BT.601.
MATRICES = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LIMITED, FULL = 1, 2
PQ, HLG, BT2020 = 16, 18, 9
COLOURS = np.array([[255, 255, 255], [0, 0, 0], [128, 128, 128], [200, 60, 30], [20, 160, 240], [40, 200, 60]])
BLOCK = 16


def to_planes(rgb_N3: np.ndarray, matrix: int, colour_range: int, pix_fmt: str) -> list[np.ndarray]:
    """Y'CbCr by ITU-R BT.601, BT.709 and BT.2100 of R'G'B' in [0, 1]: a vertical stripe of each."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (np.tile(np.repeat(rgb_N3[:, channel], BLOCK), (32, 1)) for channel in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    blue_off, red_off = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    bits = 12 if "12" in pix_fmt else 10 if "10" in pix_fmt else 8
    step, most = 2 ** (bits - 8), 2**bits - 1
    if colour_range == LIMITED:
        planes = [(16 + 219 * luma) * step, (128 + 224 * blue_off) * step, (128 + 224 * red_off) * step]
    else:
        planes = [luma * most, blue_off * most + 128 * step, red_off * most + 128 * step]
    across, down = 1 if "444" in pix_fmt else 2, 2 if "420" in pix_fmt else 1
    planes[1:] = [plane[::down, ::across] for plane in planes[1:]]
    return [np.rint(plane).clip(0, most).astype(np.uint8 if bits == 8 else "<u2") for plane in planes]


def write(
    path: Path, rgb_N3: np.ndarray, matrix: int, colour_range: int, pix_fmt: str, transfer: int = 2, codec: str = "ffv1"
) -> Path:
    planes = to_planes(rgb_N3, matrix, colour_range, pix_fmt)
    height, width = planes[0].shape
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=16)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_trc = colour_range, matrix, transfer
        for _ in range(3):
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane, values in zip(frame.planes, planes, strict=True):
                padded = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
                padded[:, : values.shape[1]] = values
                plane.update(padded.tobytes())
            frame.color_range, frame.colorspace = colour_range, matrix
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def stripes(path: Path) -> np.ndarray:
    ((_, rgb_HWC),) = read_frames(path, [1])
    return rgb_HWC[16, BLOCK // 2 :: BLOCK].astype(int)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le"])
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_come_out_as_they_were_put_in(tmp_path: Path, matrix: int, colour_range: int, pix_fmt: str) -> None:
    found = stripes(write(tmp_path / "a.mkv", COLOURS / 255, matrix, colour_range, pix_fmt))
    # 8 bits of limited range have 220 steps of luma for 256 levels.
    assert np.abs(found - COLOURS).max() <= (2 if pix_fmt in ("yuv420p", "yuv444p") else 1)
    assert found[:2].tolist() == [[255] * 3, [0] * 3], "white and black are exact"


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv420p12le", "yuv422p12le"])
def test_full_weight_is_full_in_deep_mask_videos(tmp_path: Path, pix_fmt: str) -> None:
    path = write(tmp_path / "mask.mkv", COLOURS[:3] / 255, 1, LIMITED, pix_fmt)
    ((_, mask_HW),) = read_mask_frames(path, probe(path), [1])
    assert mask_HW[16, BLOCK // 2 :: BLOCK].tolist() == [255, 0, 128]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "aspect", "conversion"),
    [
        ("ffv1", "yuv420p", 1, ""),
        ("ffv1", "yuv422p", 1, ""),
        ("ffv1", "yuv444p", 1, ""),
        ("ffv1", "yuv411p", 1, "planar"),
        ("ffv1", "yuv410p", 1, "planar"),
        ("ffv1", "yuv440p", 1, "planar"),
        ("mpeg4", "yuv420p", Fraction(4, 3), "planar"),
    ],
)
def test_white_is_white_in_every_layout_of_chroma_and_with_pixels_that_are_not_square(
    tmp_path: Path, codec: str, pix_fmt: str, aspect: Fraction, conversion: str
) -> None:
    greys = np.repeat(np.array([255, 0, 128, 80], np.uint8), BLOCK)
    path = tmp_path / ("a.mp4" if codec == "mpeg4" else "a.mkv")
    frame = av.VideoFrame.from_ndarray(np.repeat(np.tile(greys, (32, 1))[..., None], 3, axis=2), format="rgb24")
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=16, options={"qscale": "1", "flags": "qscale"} if codec == "mpeg4" else {})
        stream.width, stream.height, stream.pix_fmt = 4 * BLOCK, 32, pix_fmt
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for _ in range(2):
            grey = frame.reformat(format="yuv444p", dst_colorspace=1, dst_color_range=LIMITED)
            out.mux(stream.encode(grey.reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    ((_, rgb_HWC),) = read_frames(path, [1])
    width = rgb_HWC.shape[1]
    assert width == round(4 * BLOCK * aspect)
    found = rgb_HWC[16, width // 8 :: width // 4].astype(int)
    assert np.abs(found - np.array([255, 0, 128, 80])[:, None]).max() <= 1
    assert probe(path).conversion == conversion


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_the_alpha_of_webm_is_read(tmp_path: Path, codec: str) -> None:
    rgba_HWC = np.full((32, 64, 4), 255, np.uint8)
    rgba_HWC[..., 3] = 0
    rgba_HWC[8:24, 16:48, 3] = 255
    frames = [np.roll(rgba_HWC, 8 * number, axis=1) for number in range(4)]
    with av.open(str(tmp_path / "mask.webm"), "w") as out:
        stream = out.add_stream(codec, rate=16, options={"crf": "4", "b": "2M", "auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuva420p"
        for rgba in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")))
        out.mux(stream.encode(None))
    path = tmp_path / "mask.webm"
    for number, mask_HW in read_mask_frames(path, probe(path), [0, 3]):
        assert np.abs(mask_HW.astype(int) - frames[number][..., 3]).max() <= 8


@pytest.mark.parametrize(
    ("transfer", "signals", "light"),
    [
        # ST 2084 by its formula: 0, 2.03 (1 %), 36.54 (18 %), 101.5 (50 %), 203 and 1000 cd/m².
        (PQ, [0, 0.1891, 0.4109, 0.5096, 0.5807, 0.7518], [0, 0.01, 0.18, 0.5, 1, 1]),
        # HLG at 1000 cd/m²: 75 % is 203 cd/m²; 50 % of signal is 1/12 of the scene's light, to the power of 1.2.
        (HLG, [0, 0.5, 0.75, 1], [0, 1000 / 203 * (1 / 12) ** 1.2, 1, 1]),
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p12le"])
def test_reference_white_of_hdr_becomes_white(
    tmp_path: Path, transfer: int, signals: list[float], light: list[float], pix_fmt: str
) -> None:
    greys = np.repeat(np.array(signals)[:, None], 3, axis=1)
    path = write(tmp_path / "a.mkv", greys, BT2020, LIMITED, pix_fmt, transfer)
    assert probe(path).transfer is (Transfer.PQ if transfer == PQ else Transfer.HLG)
    linear = np.array(light)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    found = stripes(path)
    assert np.abs(found - srgb[:, None]).max() <= 1.5
    assert (found.max(axis=1) - found.min(axis=1)).max() <= 1, "grey stays grey"


def test_colours_of_hdr_are_brought_to_bt709(tmp_path: Path) -> None:
    # BT.709's red at 101.5 cd/m² peak, in BT.2020 by ITU-R BT.2087, coded by ST 2084.
    light = np.array([0.6274, 0.0691, 0.0164]) * 101.5 / 10000
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    signal = ((c1 + c2 * light**m1) / (1 + c3 * light**m1)) ** m2
    found = stripes(write(tmp_path / "a.mkv", np.repeat(signal[None], 3, axis=0), BT2020, LIMITED, "yuv444p12le", PQ))
    assert np.abs(found[1] - [188, 0, 0]).max() <= 8
    assert found[1][0] == pytest.approx(188, abs=1)


def test_pixels_that_are_converted_otherwise_than_before_are_told_apart(tmp_path: Path) -> None:
    kinds = {"yuv420p": 2, "yuv420p10le": 2, "yuv422p10le": PQ, "yuv444p10le": HLG}
    paths = [
        write(tmp_path / f"{pix_fmt}.mkv", COLOURS / 255, 1, LIMITED, pix_fmt, trc) for pix_fmt, trc in kinds.items()
    ]
    assert [probe(path).conversion for path in paths] == ["", "planar", "PQ, reference white", "HLG, reference white"]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "source"),
    [("ffv1", "bgra", "rgba"), ("ffv1", "yuva444p", "rgba"), ("png", "rgba", "rgba"), ("qtrle", "argb", "rgba")],
)
def test_alpha_of_a_mask_video_is_read(tmp_path: Path, codec: str, pix_fmt: str, source: str) -> None:
    rgba_HWC = np.random.default_rng(0).integers(0, 256, (32, 64, 4), dtype=np.uint8)
    rgba_HWC[..., 3] = 0
    rgba_HWC[8:24, 16:48, 3] = 255
    path = write_frames(tmp_path / ("mask.mkv" if codec == "ffv1" else "mask.mov"), codec, pix_fmt, rgba_HWC)
    ((_, mask_HW),) = read_mask_frames(path, probe(path), [1])
    assert np.array_equal(mask_HW, rgba_HWC[..., 3])


def test_colours_and_labels_of_mask_videos_are_read_by_the_rule(tmp_path: Path) -> None:
    red_HWC = np.zeros((32, 64, 3), np.uint8)
    red_HWC[8:24, 16:48] = (255, 0, 0)
    shape_HW = red_HWC[..., 0]
    for codec, pix_fmt, content in (
        ("ffv1", "bgr0", red_HWC),
        ("libx264", "yuv420p", red_HWC),
        ("ffv1", "gray", shape_HW // 255),
        ("ffv1", "gray16le", shape_HW.astype(np.uint16)),
        ("ffv1", "gray16le", shape_HW.astype(np.uint16) // 255),
        ("ffv1", "gray10le", shape_HW.astype(np.uint16) // 255 * 1023),
    ):
        path = write_frames(tmp_path / "mask.mkv", codec, pix_fmt, content)
        ((_, mask_HW),) = read_mask_frames(path, probe(path), [1])
        assert mask_HW[16, 32] >= 253, (codec, pix_fmt)
        assert mask_HW[2, 60] <= 2, (codec, pix_fmt)
    brightness = read_mask_frames(path, probe(path), [1], MaskMeaning.BRIGHTNESS)
    assert next(brightness)[1][16, 32] == 255


def write_frames(path: Path, codec: str, pix_fmt: str, pixels: np.ndarray) -> Path:
    path.unlink(missing_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=16)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = pix_fmt
        for _ in range(3):
            if pixels.ndim == 2:
                frame = av.VideoFrame(stream.width, stream.height, pix_fmt)
                line = frame.planes[0].line_size // pixels.itemsize
                padded = np.zeros((stream.height, line), pixels.dtype)
                padded[:, : stream.width] = pixels
                frame.planes[0].update(padded.tobytes())
            else:
                frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24")
                frame = frame.reformat(format=pix_fmt)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
