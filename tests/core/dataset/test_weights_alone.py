"""A photograph's weights are the same whether its pixels are read or not, and they are not where they need not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import maskloss.core.dataset.load as load_module
import numpy as np
import pytest
from maskloss.core.corrections.override import Correction, write_correction
from maskloss.core.dataset import weights_alone
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.items import DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_fitted
from maskloss.core.dataset.weights_alone import load_fitted_weights
from maskloss.core.errors import ImageError, MaskMissingError

Draw = Callable[..., Path]
ALPHA = LoadSettings(alpha_mask=True)
BUCKETS = [(40, 30), (16, 16), (96, 64)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The photographs that were decoded."""
    seen: list[Path] = []
    load_image = load_module.load_image

    def counted(path: Path, *more: object):
        seen.append(path)
        return load_image(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(load_module, "load_image", counted)
    return seen


@pytest.fixture
def correction(tmp_path: Path) -> Path:
    painted_HW = np.zeros((30, 40), bool)
    painted_HW[3:9, 10:30] = True
    write_correction(tmp_path / "hand.png", Correction(np.full((30, 40), 77, np.uint8), painted_HW))
    return tmp_path / "hand.png"


def check(item: DatasetItem, decoded: list[Path], reads: bool) -> None:
    """The same as `load_fitted` for every bucket, and whether the photograph is read for it."""
    for bucket in BUCKETS:
        wanted = load_fitted(item, bucket)
        decoded.clear()
        weights_THW, origin = load_fitted_weights(item, bucket)
        assert (decoded == [item.media_path]) == reads
        assert origin is wanted.origin
        if wanted.weights_THW is None:
            assert weights_THW is None
        else:
            assert weights_THW is not None
            assert weights_THW.dtype == np.float32
            assert np.array_equal(weights_THW, wanted.weights_THW)


@pytest.mark.parametrize("size", [(40, 30), (20, 15), (80, 60)])
@pytest.mark.parametrize("corrected", [False, True])
def test_of_a_mask_file_of_any_size(
    photograph: Draw, mask: Draw, decoded: list[Path], correction: Path, size: tuple[int, int], corrected: bool
) -> None:
    item = DatasetItem("a", photograph("set/a.jpg"), LoadSettings(), mask("masks/a.png", size, 200))
    item = replace(item, correction_path=correction if corrected else None)
    check(item, decoded, reads=False)
    cut = replace(item, name="a~face", crop=Crop(CropKind.FACE, Rectangle(5, 2, 24, 18)))
    check(cut, decoded, reads=False)


def test_of_a_correction_alone_and_of_nothing(photograph: Draw, decoded: list[Path], correction: Path) -> None:
    bare = DatasetItem("a", photograph("set/a.png"), LoadSettings())
    check(bare, decoded, reads=False)
    check(replace(bare, correction_path=correction), decoded, reads=False)
    assert load_fitted_weights(bare, (16, 16)) == (None, MaskOrigin.NONE)


def test_of_a_photograph_that_is_turned(photograph: Draw, mask: Draw, decoded: list[Path], correction: Path) -> None:
    turned = photograph("set/a.jpg", (30, 40), orientation=6)
    check(DatasetItem("a", turned, LoadSettings(), mask("masks/a.png"), correction_path=correction), decoded, False)


def test_what_is_in_the_photograph_is_read_from_it(
    photograph: Draw, mask: Draw, decoded: list[Path], correction: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha_HW = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
    shaped = DatasetItem("a", photograph("set/a.png", alpha=alpha_HW), ALPHA, mask("masks/a.png", value=200))
    check(shaped, decoded, reads=True)
    check(replace(shaped, correction_path=correction), decoded, reads=True)
    check(replace(shaped, media_path=photograph("set/b.png", alpha=255)), decoded, reads=True)
    check(replace(shaped, media_path=photograph("set/c.png")), decoded, reads=False)
    check(replace(shaped, settings=LoadSettings()), decoded, reads=False)
    monkeypatch.setattr(weights_alone, "LARGE_PX", 100)
    check(replace(shaped, settings=LoadSettings()), decoded, reads=True)


def test_what_does_not_fit_or_is_missing_is_refused(photograph: Draw, mask: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(require_mask=True))
    with pytest.raises(MaskMissingError):
        load_fitted_weights(item, (16, 16))
    with pytest.raises(ImageError):
        load_fitted_weights(replace(item, mask_path=mask("masks/a.png", (40, 20))), (16, 16))
