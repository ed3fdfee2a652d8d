from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelMissingError, UserError
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
