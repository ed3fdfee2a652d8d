from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.dlib_face import align, embed, load_tfjs
from maskloss.core.errors import ModelMissingError


def write_weights(folder: Path) -> tuple[Path, Path]:
    manifest = [
        {
            "weights": [
                {"name": "a", "shape": [2, 2], "dtype": "float32"},
                {
                    "name": "b",
                    "shape": [3],
                    "dtype": "float32",
                    "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
                },
            ]
        }
    ]
    (folder / "m.json").write_text(json.dumps(manifest))
    (folder / "m.bin").write_bytes(np.array([1, 2, 3, 4], np.float32).tobytes() + bytes([0, 2, 255]))
    return folder / "m.json", folder / "m.bin"


def test_weights_are_read_by_name_and_scaled_back(tmp_path: Path):
    weights = load_tfjs(*write_weights(tmp_path))
    assert weights["a"].tolist() == [[1, 2], [3, 4]]
    assert weights["b"].tolist() == [-1.0, 0.0, 126.5]


@pytest.mark.parametrize("change", [b"", b"xx"])
def test_a_binary_of_another_length_is_refused(tmp_path: Path, change: bytes):
    manifest, binary = write_weights(tmp_path)
    binary.write_bytes(binary.read_bytes()[:-1] + change)
    with pytest.raises(ModelMissingError, match="maskloss models --install"):
        load_tfjs(manifest, binary)


@pytest.mark.parametrize("scale", [0.4, 1.0, 8.0])
def test_align_brings_eyes_nose_and_mouth_to_dlibs_places(scale: float):
    targets = np.array([[52.7, 46.6], [97.3, 46.6], [75.0, 76.6], [75.0, 108.0]])
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    points = (targets - 75) @ turn.T + 120 * scale + 20
    picture_HWC = np.zeros((round(260 * scale) + 40,) * 2 + (3,), np.uint8)
    radius = 4 * scale
    y, x = np.mgrid[: picture_HWC.shape[0], : picture_HWC.shape[1]]
    for point in points:
        picture_HWC[np.hypot(x - point[0], y - point[1]) < radius] = 255
    chip_HWC = align(picture_HWC, np.concatenate([points, points[:2]]))
    assert chip_HWC.shape == (150, 150, 3)
    lit_HW = chip_HWC[..., 0] > 127
    for target in targets:
        assert lit_HW[round(target[1]), round(target[0])]
    assert 4 * 25 < np.count_nonzero(lit_HW) < 4 * 80


@pytest.mark.models
def test_embeddings_of_a_batch_are_those_of_its_faces():
    chips_NHWC = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    embeddings_NK = embed(chips_NHWC)
    assert embeddings_NK.shape == (3, 128)
    assert embeddings_NK.dtype == np.float32
    np.testing.assert_allclose(embed(chips_NHWC[1:2]), embeddings_NK[1:2], atol=1e-5)
    assert np.linalg.norm(embeddings_NK[0] - embeddings_NK[1]) > 1e-3
