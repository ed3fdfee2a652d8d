"""Camera raw files: developed upright, and an error where LibRaw does not know them."""

import sys

import numpy as np
import pytest
from maskloss.core.errors import ImageError
from maskloss.core.images import image_size, load_image
from maskloss.core.photo.raw_file import RawImageFile

from .pictures import corners, dng


@pytest.mark.parametrize(("orientation", "back"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_camera_raw_is_developed_upright_with_the_cameras_white(tmp_path, orientation, back):
    pytest.importorskip("rawpy")
    linear = np.full((64, 96, 3), 0.2)
    linear[:20, :30] = (0.8, 0.05, 0.05)
    (tmp_path / "a.dng").write_bytes(dng(linear, orientation))
    rgb, alpha = load_image(tmp_path / "a.dng")
    assert alpha is None
    assert corners(rgb) == corners(np.rot90((linear * 255).astype(np.uint8), back))
    assert image_size(tmp_path / "a.dng") == rgb.shape[1::-1]
    grey = rgb[rgb.shape[0] // 2, rgb.shape[1] // 2].astype(int)
    assert np.ptp(grey) <= 2  # the sensor's own white is (0.5, 1, 0.6)
    (tmp_path / "b.dng").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(ImageError, match=r"b\.dng"):
        load_image(tmp_path / "b.dng")


def test_without_its_library_the_reader_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.dng").write_bytes(b"II*\0" + bytes(100))
    with (tmp_path / "a.dng").open("rb") as stream, pytest.raises(ImageError, match="pip install rawpy"):
        RawImageFile(stream)
