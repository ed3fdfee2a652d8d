"""What is no part segmenter, is damaged, or cuts pictures before it looks, is refused with what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ModelMissingError, UserError
from maskloss.core.segmenters.transformers_parts import TransformersPartSegmenter
from safetensors.torch import load_file, save_file

from .tiny_transformers import ATR, bare, tiny_segformer


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("mask2former", "Mask2Former"), ("oneformer", "OneFormer"), ("eomt", "EoMT"), ("maskformer", "MaskFormer")],
)
def test_models_of_masks_are_refused_by_name(tmp_path: Path, kind: str, name: str) -> None:
    directory = bare(tmp_path / kind, {"model_type": kind, "id2label": dict(enumerate(ATR))})
    with pytest.raises(UserError, match=f"it is {name}, which gives masks of things"):
        TransformersPartSegmenter(directory)


def test_preprocessing_that_cuts_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    directory = tiny_segformer(tmp_path / "cut", ATR, do_center_crop=True, crop_size={"height": 32, "width": 32})
    with pytest.raises(UserError, match="its preprocessing has do_center_crop"):
        TransformersPartSegmenter(directory).segment(picture)


@pytest.mark.parametrize(
    ("preprocessing", "found"),
    [
        # ConvNext's cuts out of the middle below 384 pixels, without a setting that says so.
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}}, "ConvNextImageProcessor"),
        ({"image_processor_type": "DPTImageProcessor", "do_pad": True, "size_divisor": 48}, "do_pad"),
        ({"image_processor_type": "MobileViTImageProcessor", "crop_size": {"height": 48, "width": 48}}, "do_center_"),
    ],
)
def test_whatever_cuts_or_pads_is_refused(preprocessing: dict, found: str, tmp_path: Path, picture: np.ndarray) -> None:
    directory = tiny_segformer(tmp_path / "cut", ATR, **preprocessing)
    with pytest.raises(UserError, match=f"its preprocessing has .*{found}"):
        TransformersPartSegmenter(directory).segment(picture)


def test_files_that_make_transformers_stumble_are_said(tmp_path: Path, picture: np.ndarray) -> None:
    """A configuration of wrong types, and weights that are no weights: whatever comes out of the library is ours."""
    pytest.importorskip("transformers")
    wrong = tiny_segformer(tmp_path / "types", ATR)
    config = json.loads((wrong / "config.json").read_text())
    (wrong / "config.json").write_text(json.dumps(config | {"hidden_sizes": [8, "eight", None, {}]}))
    picked = tiny_segformer(tmp_path / "pickle", ATR)
    (picked / "model.safetensors").unlink()
    (picked / "pytorch_model.bin").write_bytes(b"\x80\x04no pickle of tensors.")
    sizes = tiny_segformer(tmp_path / "sizes", ATR)
    (sizes / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "SegformerImageProcessor", "size": {"height": "tall", "width": -4}})
    )
    for directory in (wrong, picked, sizes):
        with pytest.raises(UserError, match=f"{directory.name} cannot be used"):
            TransformersPartSegmenter(directory).segment(picture)


def test_weights_that_lack_the_head_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    directory = tiny_segformer(tmp_path / "backbone", ATR)
    weights = load_file(directory / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "classifier" not in name}
    save_file(kept, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"its weights lack decode_head\.classifier\.bias"):
        TransformersPartSegmenter(directory).segment(picture)


def test_what_transformers_does_not_read_is_said(tmp_path: Path, picture: np.ndarray) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(UserError, match="transformers does not read it"):
        TransformersPartSegmenter(bare(tmp_path / "broken")).segment(picture)


def test_a_missing_library_is_said(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="pip install transformers"):
        TransformersPartSegmenter(bare(tmp_path / "m")).segment(picture)


def test_missing_files_are_said(tmp_path: Path) -> None:
    directory = bare(tmp_path / "m")
    (directory / "model.safetensors").unlink()
    (directory / "preprocessor_config.json").unlink()
    with pytest.raises(ModelMissingError, match=r"lacks preprocessor_config.json, model.safetensors.*Hugging Face"):
        TransformersPartSegmenter(directory)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "wall", "1": "sky"}}, "names its 2 classes wall, sky"),
        ({"model_type": "segformer"}, "2 classes without names"),
        ({"id2label": {"zero": "a"}}, "a key that is no number"),
    ],
)
def test_a_config_that_fits_no_table_is_refused(tmp_path: Path, config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformersPartSegmenter(bare(tmp_path / "m", config))


@pytest.mark.parametrize(("text", "message"), [("{", "it is not JSON"), ("[]", "it holds no settings")])
def test_a_damaged_config_is_said(tmp_path: Path, text: str, message: str) -> None:
    directory = bare(tmp_path / "m")
    (directory / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        TransformersPartSegmenter(directory)
