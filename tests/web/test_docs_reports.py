"""The JSON that the help pages show has exactly the fields of the JSON that the nodes give."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss import WEB_DIRECTORY
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import NodeResult, run_prompt
from maskloss.core.host import LocalHost
from PIL import Image

DOCS = Path(__file__).parents[2] / WEB_DIRECTORY / "docs"
Prompt = dict[str, dict[str, Any]]
SIZE = {"resolution_width": 64, "resolution_height": 64}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def run(prompt: Prompt, host: LocalHost) -> dict[str, NodeResult]:
    return run_prompt(parse_prompt(prompt), REGISTRY, host)


def documented(class_type: str) -> set[str]:
    block = re.search(r"```json\n(.*?)```", (DOCS / f"{class_type}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return fields(json.loads(block[1]))


def fields(value: Any, at: str = "") -> set[str]:
    """Dotted names of everything in a JSON value, lists passed through; a bucket's name is data, not a field."""
    if isinstance(value, list):
        return {name for each in value for name in fields(each, at)}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for name, inner in value.items():
        found |= {f"{at}{name}"} | (set() if name == "buckets" else fields(inner, f"{at}{name}."))
    return found


def given(result: NodeResult) -> set[str]:
    """The fields of the report that a node shows, which is the one on its wire."""
    return fields(json.loads(result.ui["text"][0]))


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    photographs, masks = tmp_path / "in/photographs", tmp_path / "in/masks"
    photographs.mkdir(parents=True)
    masks.mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(photographs / f"{name}.png")
        mask = np.zeros((64, 96), np.uint8)
        mask[16:48, 16:48] = 128
        mask[20:30, 20:30] = 255
        Image.fromarray(mask).save(masks / f"{name}.png")
    (photographs / "a.txt").write_text("a person")
    (tmp_path / "in/set.toml").write_text(
        '[[datasets]]\nimage_directory = "photographs"\nmask_directory = "masks"\nresolution = 64\n'
    )
    return LocalHost(tmp_path / "in", tmp_path / "out")


def test_reports_of_the_road_from_folder_to_cache(host: LocalHost) -> None:
    prompt = {
        "models": node("MaskLossDemoModels"),
        "load": node("MaskLossLoadDataset", directory="photographs", mask_directory="masks", **SIZE),
        "config": node("MaskLossLoadDatasetConfig", path="set.toml"),
        "items": node("MaskLossDatasetItems", dataset=["load", 0]),
        "set": node("MaskLossDatasetSetMasks", dataset=["load", 0], names=["items", 2], masks=["items", 1]),
        "crops": node("MaskLossDatasetCrops", dataset=["load", 0], face=1),
        "cropped": node("MaskLossPreviewDataset", dataset=["crops", 0]),
        "merge": node("MaskLossDatasetMergeAlpha", dataset=["set", 0], output_directory="rgba"),
        "latents": node("MaskLossCacheLatents", dataset=["load", 0], vae=["models", 1], cache_directory="cache"),
        "text": node("MaskLossCacheText", cache=["latents", 0], clip=["models", 2]),
        "settings": node("MaskLossSettings"),
        "preview": node("MaskLossPreviewCache", cache=["text", 0]),
        "configured": node("MaskLossPreviewDataset", dataset=["config", 0]),
        "weights": node("MaskLossPreviewWeights", weights=["items", 1], mask_loss=["settings", 0]),
    }
    results = run(prompt, host)
    opened = run({"open": node("MaskLossLoadCache", cache_directory="cache"),
                  "look": node("MaskLossPreviewCache", cache=["open", 0])}, host)  # fmt: skip
    for name in ("load", "config", "set", "crops", "merge", "latents", "text", "preview", "weights"):
        kind = prompt[name]["class_type"]
        assert given(results[name]) == documented(kind), kind
    assert given(opened["open"]) == documented("MaskLossLoadCache")


def test_log_and_loss_map_of_training(host: LocalHost) -> None:
    prompt = {
        "models": node("MaskLossDemoModels"),
        "load": node("MaskLossLoadDataset", directory="photographs", mask_directory="masks", **SIZE),
        "latents": node("MaskLossCacheLatents", dataset=["load", 0], vae=["models", 1], cache_directory="cache"),
        "text": node("MaskLossCacheText", cache=["latents", 0], clip=["models", 2]),
        "lora": node("MaskLossLoraConfig", rank=2),
        "train": node(
            "MaskLossTrainLora", model=["models", 0], cache=["text", 0], lora_config=["lora", 0], steps=2,
            validation_split=0.5, save_every=1, output_name="loras/x",
        ),
    }  # fmt: skip
    result = run(prompt, host)["train"]
    page = (DOCS / "MaskLossTrainLora.md").read_text(encoding="utf-8")
    loras = host.folders().output / "loras"
    log = [json.loads(line) for line in (loras / "x.jsonl").read_text().splitlines()]
    assert fields(log) == documented("MaskLossTrainLora")
    # A folder of curves comes beside them where TensorBoard is installed.
    assert {path.name for path in loras.iterdir() if path.is_file()} == {
        "x.safetensors",
        "x.state",
        "x.jsonl",
        "x-step00000001.safetensors",
    }
    for ending in (".safetensors", ".state", ".jsonl", "-step00000250.safetensors"):
        assert f"| `<output_name>{ending}` |" in page
    curves = page.partition("## What the curves mean")[2].partition("\n## ")[0]
    heads = [line.partition(":")[0] for line in curves.splitlines() if line.startswith("- ")]
    explained = {name for line in curves.splitlines() if line.startswith("- ") for name in re.findall(r"`(\w+)`", line)}
    loss_map = result.outputs[1]
    assert set(loss_map[0] if isinstance(loss_map, list) else loss_map) <= explained, heads


@pytest.mark.models
def test_reports_about_the_one_person(
    host: LocalHost, sample_photograph: Callable[[int], np.ndarray], make_video: Callable[..., Path]
) -> None:
    photographs = host.folders().input / "photographs"
    Image.fromarray(sample_photograph(1)[::2, ::2]).save(photographs / "group.png")
    make_video(photographs / "walk.mp4", [sample_photograph(1)[::2, ::2]] * 2)
    reference = host.folders().input / "reference"
    reference.mkdir()
    Image.fromarray(sample_photograph(3)[::2, ::2]).save(reference / "one.png")
    Image.fromarray(sample_photograph(3)[::2, ::-2]).save(reference / "two.png")
    prompt = {
        "recognizer": node("MaskLossFaceRecognizer", model="bundled"),
        "parts": node("MaskLossPartSegmenter", model="bundled"),
        "people": node("MaskLossPersonSegmenter", model="bundled"),
        "faces": node("MaskLossReferenceFaces", recognizer=["recognizer", 0], directory="reference", face_index=1),
        "load": node("MaskLossLoadDataset", directory="photographs", mask_directory="masks", **SIZE),
        "build": node("MaskLossDatasetBuildMasks", dataset=["load", 0], segmenter=["parts", 0]),
        "keep": node(
            "MaskLossDatasetKeepPerson", dataset=["build", 0], recognizer=["recognizer", 0], identity=["faces", 0],
            person_segmenter=["people", 0], min_similarity=0.5,
        ),
        "items": node("MaskLossDatasetItems", dataset=["keep", 0], limit=1),
        "instance": node(
            "MaskLossInstanceMask", image=["items", 0], recognizer=["recognizer", 0], identity=["faces", 0],
            person_segmenter=["people", 0], on_no_match="empty",
        ),
        "look": node("MaskLossPreviewWeights", weights=["instance", 0]),
    }  # fmt: skip
    results = run(prompt, host)
    for name in ("faces", "build", "keep", "instance"):
        kind = prompt[name]["class_type"]
        assert given(results[name]) == documented(kind), kind
