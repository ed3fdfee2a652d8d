from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelMissingError, ModelRunError, UserError
from maskloss.core.parts.part_map import SCHEMES
from maskloss.core.segmenters.transformers_parts import TransformersPartSegmenter
from safetensors.torch import load_file, save_file

ATR = SCHEMES["atr_18"].names


def bare(directory: Path, config: dict | None = None, preprocessor: dict | None = None) -> Path:
    """A directory that looks whole; its weights are nonsense."""
    directory.mkdir(parents=True)
    names = {str(index): name for index, name in enumerate(ATR)}
    content = {"model_type": "segformer", "id2label": names} if config is None else config
    (directory / "config.json").write_text(json.dumps(content))
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor or {}))
    (directory / "model.safetensors").write_bytes(b"nonsense")
    return directory


def tiny_segformer(directory: Path, names: tuple[str, ...], **preprocessing: object) -> Path:
    """A real SegFormer of a few thousand random weights that always prefers class 2 a little."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = transformers.SegformerConfig(
            num_encoder_blocks=4, depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4,
            decoder_hidden_size=8, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
        )  # fmt: skip
        model = transformers.SegformerForSemanticSegmentation(config).eval()
    model.save_pretrained(directory)
    settings = {
        "image_processor_type": "SegformerImageProcessor",
        "size": {"height": 64, "width": 64},
        "do_resize": True,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps({**settings, **preprocessing}))
    return directory


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


VIT = {
    "image_size": 64, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 32,
}  # fmt: skip
FAMILIES = {
    "Beit": ("BeitImageProcessor", {**VIT, "out_indices": [1, 2, 3, 4]}),
    "Data2VecVision": ("BeitImageProcessor", {**VIT, "out_indices": [1, 2, 3, 4]}),
    "DPT": (
        "DPTImageProcessor",
        {**VIT, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8},
    ),
    "MobileViT": (
        "MobileViTImageProcessor",
        {
            "image_size": 64, "hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 7, "num_attention_heads": 2,
            "aspp_out_channels": 8,
        },
    ),
    "MobileViTV2": ("MobileViTImageProcessor", {"image_size": 64, "width_multiplier": 0.25}),
    "MobileNetV2": ("MobileNetV2ImageProcessor", {"image_size": 64, "depth_multiplier": 0.25}),
    "UperNet": ("SegformerImageProcessor", {"hidden_size": 8, "use_auxiliary_head": False}),
}  # fmt: skip


def tiny(family: str, directory: Path, dtype: torch.dtype = torch.float32, **preprocessing: object) -> Path:
    """A real model of the family with few random weights and the classes of ATR, and its own preprocessing."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    processor, sizes = FAMILIES[family]
    if family == "UperNet":
        stages = [f"stage{number}" for number in range(1, 5)]
        backbone = transformers.ConvNextConfig(num_stages=4, hidden_sizes=[8] * 4, depths=[1] * 4, out_features=stages)
        sizes = {**sizes, "backbone_config": backbone}
    labels = {"id2label": dict(enumerate(ATR)), "label2id": {name: index for index, name in enumerate(ATR)}}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = getattr(transformers, f"{family}Config")(**sizes, **labels)
        model = getattr(transformers, f"{family}ForSemanticSegmentation")(config)
        for weight in model.parameters():  # as they are drawn, most families prefer one class everywhere
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
        balance(model.eval())
    model.to(dtype).save_pretrained(directory)
    settings = {"image_processor_type": processor, "size": {"height": 64, "width": 64}, "do_center_crop": False}
    (directory / "preprocessor_config.json").write_text(json.dumps({**settings, **preprocessing}))
    return directory


def balance(model: torch.nn.Module) -> None:
    """Moves the classes' biases so that every class wins somewhere: random weights prefer one nearly everywhere."""
    classifier = [layer for layer in model.modules() if getattr(layer, "out_channels", 0) == len(ATR)][-1]
    with torch.no_grad():
        scores = model(pixel_values=torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
        classifier.bias -= scores.mean(dim=(0, 2, 3))


def of_transformers(family: str, directory: Path, picture: np.ndarray) -> np.ndarray:
    """The labels by transformers' own processor, model and post-processing, scores compared in float32."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    processor = transformers.AutoImageProcessor.from_pretrained(directory)
    model = getattr(transformers, f"{family}ForSemanticSegmentation").from_pretrained(directory).eval()
    pixels = processor(images=[picture], return_tensors="pt")["pixel_values"].to(model.dtype)
    with torch.no_grad():
        outputs = model(pixel_values=pixels)
    outputs.logits = outputs.logits.float()
    return processor.post_process_semantic_segmentation(outputs, target_sizes=[picture.shape[:2]])[0].numpy()


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


def patches(size: tuple[int, int]) -> np.ndarray:
    """A picture (height, width, 3) of coloured patches."""
    coarse_HWC = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse_HWC, size[::-1], interpolation=cv2.INTER_CUBIC)


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


@pytest.mark.parametrize(
    ("kind", "name"),
    [("mask2former", "Mask2Former"), ("oneformer", "OneFormer"), ("eomt", "EoMT"), ("maskformer", "MaskFormer")],
)
def test_models_of_masks_are_refused_by_name(tmp_path: Path, kind: str, name: str) -> None:
    directory = bare(tmp_path / kind, {"model_type": kind, "id2label": dict(enumerate(ATR))})
    with pytest.raises(UserError, match=f"it is {name}, which gives masks of things"):
        TransformersPartSegmenter(directory)


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
