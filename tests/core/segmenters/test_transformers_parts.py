from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelRunError
from maskloss.core.parts.part_map import SCHEMES
from maskloss.core.segmenters.transformers_parts import TransformersPartSegmenter

from .tiny_transformers import ATR, FAMILIES, bare, of_transformers, patches, tiny, tiny_segformer


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)


def test_a_segformer_gives_what_transformers_own_post_processing_gives(tmp_path: Path, picture: np.ndarray) -> None:
    transformers = pytest.importorskip("transformers")
    directory = tiny_segformer(tmp_path / "clothes", ATR)
    parts = TransformersPartSegmenter(directory).segment(picture)
    processor = transformers.AutoImageProcessor.from_pretrained(directory)
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(directory)
    with torch.no_grad():
        outputs = model(**processor(images=[picture], return_tensors="pt"))
    expected_HW = processor.post_process_semantic_segmentation(outputs, target_sizes=[(90, 140)])[0].numpy()
    assert parts.scheme.id == "atr_18"
    assert len(np.unique(parts.label_HW)) > 1, "random weights must prefer several classes for this test to see"
    assert (parts.label_HW == expected_HW).mean() > 0.99


@pytest.mark.parametrize("size", [(90, 140), (97, 401), (30, 40)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_what_transformers_own_post_processing_gives(
    family: str, size: tuple[int, int], tmp_path: Path
) -> None:
    directory = tiny(family, tmp_path / "net", do_reduce_labels=True)
    picture = patches(size)
    theirs_HW = of_transformers(family, directory, picture)
    shares = np.bincount(theirs_HW.ravel()) / theirs_HW.size
    assert (shares > 0.02).sum() >= 3, "several classes, so that the comparison shows something"
    assert (TransformersPartSegmenter(directory).segment(picture).label_HW == theirs_HW).mean() > 0.999


@pytest.mark.parametrize(
    "preprocessing",
    [
        {"image_processor_type": "DPTImageProcessor", "size_divisor": 32},  # without do_pad it does nothing
        {"image_processor_type": "GLPNImageProcessor", "size_divisor": 32, "size": None},  # sides rounded down to it
        {"image_processor_type": "MaskFormerImageProcessor", "size": {"shortest_edge": 64, "longest_edge": 300}},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},  # stretched from 384 on
        {"do_resize": False},
    ],
)
def test_preprocessing_with_a_size_divisor_and_without_a_resize_still_sees_the_whole_picture(
    preprocessing: dict, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.0")
    directory, picture = tiny("MobileNetV2", tmp_path / "net"), patches((97, 160))
    settings = json.loads((directory / "preprocessor_config.json").read_text()) | preprocessing
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    model = transformers.MobileNetV2ForSemanticSegmentation.from_pretrained(directory).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(directory)
    with torch.no_grad():
        scores = model(pixel_values=processor(images=[picture], return_tensors="pt")["pixel_values"]).logits
    large = torch.nn.functional.interpolate(scores, picture.shape[:2], mode="bilinear", align_corners=False)
    label_HW = TransformersPartSegmenter(directory).segment(picture).label_HW
    assert len(np.unique(label_HW)) >= 3
    assert (label_HW == large[0].argmax(0).numpy()).mean() > 0.999


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["Beit", "DPT", "UperNet"])
def test_half_precision_weights_run_as_transformers_runs_them(
    family: str, dtype: torch.dtype, tmp_path: Path, picture: np.ndarray
) -> None:
    directory = tiny(family, tmp_path / "net", dtype)
    assert (
        TransformersPartSegmenter(directory).segment(picture).label_HW == of_transformers(family, directory, picture)
    ).mean() > 0.98


def test_a_picture_on_which_transformers_fails_is_said_with_its_size(tmp_path: Path) -> None:
    """DPT that keeps the aspect ratio: its own neck does not fit together on pictures that are not square."""
    directory = tiny("DPT", tmp_path / "dpt", keep_aspect_ratio=True, ensure_multiple_of=16)
    with pytest.raises(
        ModelRunError, match=r"The model dpt dpt failed while it ran on a picture of 401x97 \(RuntimeError: "
    ):
        TransformersPartSegmenter(directory).segment(np.zeros((97, 401, 3), np.uint8))


def test_sapiens2_runs_and_its_licence_is_said(tmp_path: Path, picture: np.ndarray) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.10")
    names = SCHEMES["sapiens2_29"].names
    config = transformers.Sapiens2Config(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=[64, 48],
        head_config={"upsample_out_channels": [16, 16], "conv_out_channels": [16]},
        id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
    )  # fmt: skip
    directory = tmp_path / "sapiens2"
    transformers.Sapiens2ForSemanticSegmentation(config).save_pretrained(directory)
    settings = {"image_processor_type": "Sapiens2ImageProcessor", "size": {"height": 64, "width": 48}}
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    segmenter = TransformersPartSegmenter(directory)
    parts = segmenter.segment(picture)
    assert (parts.scheme.id, parts.size) == ("sapiens2_29", (140, 90))
    assert segmenter.forbids_biometrics
    assert "biometric" in segmenter.notes[0]


def test_works_inside_inference_mode(tmp_path: Path, picture: np.ndarray) -> None:
    segmenter = TransformersPartSegmenter(tiny_segformer(tmp_path / "clothes", ATR))
    with torch.inference_mode():
        inside_HW = segmenter.segment(picture).label_HW
    np.testing.assert_array_equal(inside_HW, segmenter.segment(picture).label_HW)


def test_the_class_table_is_chosen_before_anything_loads(tmp_path: Path) -> None:
    segmenter = TransformersPartSegmenter(bare(tmp_path / "clothes"))
    assert segmenter.scheme.id == "atr_18"
    assert not segmenter.face_only
    assert not segmenter.forbids_biometrics
    assert segmenter.notes == ()
    assert segmenter.name == "segformer clothes"
    face = {str(index): name for index, name in enumerate(SCHEMES["celebamask_19_segformer"].names)}
    assert TransformersPartSegmenter(bare(tmp_path / "face", {"id2label": face})).face_only
    assert TransformersPartSegmenter(bare(tmp_path / "s", {"num_labels": 29})).scheme.id == "sapiens2_29"


def test_identity_follows_weights_and_preprocessing(tmp_path: Path) -> None:
    directory = bare(tmp_path / "m")
    seen = [TransformersPartSegmenter(directory).identity]
    for name in ("model.safetensors", "preprocessor_config.json"):
        (directory / name).write_text('{"changed": 1}')
        seen.append(TransformersPartSegmenter(directory).identity)
    assert len(set(seen)) == 3
