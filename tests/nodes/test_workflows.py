"""Every shipped workflow fits the nodes: ids, inputs, widgets, links, choices, and what the nodes themselves check.

Nodes of ComfyUI's own are known only to ComfyUI; `tests/on_server/test_shipped_workflows.py` checks those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import maskloss
import pytest
from maskloss.cli.prompt import Prompt, Registry, checked_order, override, read_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.bundled.install import DEMO_REFERENCE_FACE_INDEX, copy_demo_photographs
from maskloss.core.host import LocalHost
from maskloss.core.images import load_image
from maskloss.nodes import NODE_CLASS_MAPPINGS
from maskloss.nodes.checks import WIDGETS, declared_inputs
from PIL import Image

from tests.helpers.workflow_graph import given_inputs, opened, runnable

WORKFLOWS = Path(maskloss.__file__).parent / "workflows"
PROMPTS = sorted((WORKFLOWS / "api").glob("*.json"))
EDITOR = sorted(WORKFLOWS.glob("*.json"))
TASKS = {
    "demo", "weighted_mask", "one_person", "rgba_dataset", "lora_wan22", "lora_qwen_image", "lora_sdxl",
    "video_masks_sam3", "with_and_without_mask", "compare_loras", "all_but_face", "several_people", "lora_edit",
}  # fmt: skip


def with_comfyui_nodes(prompt: Prompt) -> Registry:
    """The registry, and a stand-in that takes what is given for every class of ComfyUI's own."""
    kinds = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING", list: "*"}
    foreign: dict[str, type] = {}
    for node in prompt.values():
        if node.class_type in REGISTRY:
            continue
        assert not node.class_type.startswith("MaskLoss"), f"{node.class_type} is no node of ours"
        inputs = {name: (kinds[type(value)], {}) for name, value in node.inputs.items()}
        known = getattr(foreign.get(node.class_type), "DECLARED", {})
        foreign[node.class_type] = type(
            node.class_type,
            (),
            {
                "DECLARED": {**known, **inputs},
                "INPUT_TYPES": classmethod(lambda cls: {"optional": cls.DECLARED}),
                "RETURN_TYPES": ("*",) * 8,
            },
        )
    return {**REGISTRY, **foreign}


def both(path: Path) -> tuple[dict[str, Any], Prompt]:
    """A workflow and its twin, which it names."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    return workflow, read_prompt(WORKFLOWS / workflow["extra"]["prompt"])


def widgets(class_type: str) -> list[str]:
    """The names of a node's widgets in the order in which the editor stores their values."""
    return [name for name, (kind, _) in declared_inputs(NODE_CLASS_MAPPINGS[class_type]).items() if kind in WIDGETS]


def test_every_task_has_its_workflow_and_its_twin() -> None:
    named = [json.loads(path.read_text(encoding="utf-8"))["extra"]["prompt"] for path in EDITOR]
    assert sorted(named) == sorted(f"api/{task}.json" for task in TASKS)
    assert {path.stem for path in PROMPTS} == TASKS


def test_titles_begin_with_the_numbers_by_which_they_are_put_in_order() -> None:
    numbers = sorted(int(path.stem.split(" ")[0]) for path in EDITOR)
    assert numbers == list(range(1, len(EDITOR) + 1))
    assert (WORKFLOWS / "1 Test drive.json") in EDITOR


@pytest.mark.models
@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
def test_a_shipped_prompt_passes_every_check(path: Path) -> None:
    prompt = read_prompt(path)
    order = checked_order(prompt, with_comfyui_nodes(prompt))
    # Pictures of one picture's workflows are shown by nodes that need no output node after them.
    off_the_road = {node.class_type for node in prompt.values()} - {node.class_type for node in order}
    assert not off_the_road


@pytest.mark.parametrize("path", EDITOR, ids=lambda path: path.stem)
def test_a_workflow_and_its_twin_are_the_same_graph(path: Path) -> None:
    workflow, prompt = both(path)
    for level in opened(workflow).levels():
        level.check_links()
    nodes = runnable(workflow)
    assert {key: node["type"] for key, (_, node) in nodes.items()} == {
        key: node.class_type for key, node in prompt.items()
    }
    for key, (level, node) in nodes.items():
        ours = node["type"] in NODE_CLASS_MAPPINGS
        linked, values = given_inputs(level, node, widgets(node["type"]) if ours else None)
        assert linked == {name: list(link) for name, link in prompt[key].links().items()}, key
        expected = {name: value for name, value in prompt[key].inputs.items() if name not in linked}
        if ours:
            assert expected == {name: value for name, value in values.items() if name in expected}, key
        else:
            by_name = {name: value for name, value in values.items() if name in expected}
            remaining = iter(values.values())
            in_order = (value for name, value in expected.items() if name not in by_name)
            assert all(any(value == one for one in remaining) for value in in_order), node["type"]


@pytest.mark.parametrize("path", EDITOR, ids=lambda path: path.stem)
def test_what_a_workflow_stores_beyond_its_twin_are_the_nodes_defaults(path: Path) -> None:
    workflow, prompt = both(path)
    for key, (level, node) in runnable(workflow).items():
        cls = NODE_CLASS_MAPPINGS.get(node["type"])
        if cls is None:
            continue
        declared = declared_inputs(cls)
        for name, value in given_inputs(level, node, widgets(node["type"]))[1].items():
            if name not in prompt[key].inputs:
                kind, options = declared[name]
                default = options.get("default", options.get("options", [""])[0] if kind == "COMBO" else None)
                assert value == default, f"{node['type']}.{name}"


@pytest.mark.parametrize("path", EDITOR, ids=lambda path: path.stem)
def test_a_workflow_is_laid_out_and_says_what_it_does(path: Path) -> None:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for number, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[number + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x or y + height <= other_y - 30
            assert apart or other_y + other_height <= y - 30
    assert workflow["groups"]
    assert any(node["type"] == "MarkdownNote" and node["widgets_values"][0].strip() for node in workflow["nodes"])


@pytest.mark.parametrize("path", EDITOR, ids=lambda path: path.stem)
def test_a_workflow_has_its_thumbnail(path: Path) -> None:
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG"
        assert min(picture.size) >= 256
    assert path.with_suffix(".jpg").stat().st_size < 200_000


def test_the_demo_names_the_face_that_the_photographs_have() -> None:
    prompt = read_prompt(WORKFLOWS / "api/demo.json")
    (reference,) = [node for node in prompt.values() if node.class_type == "MaskLossReferenceFaces"]
    assert reference.inputs["face_index"] == DEMO_REFERENCE_FACE_INDEX


@pytest.mark.models
def test_what_needs_no_model_runs_without_comfyui(tmp_path: Path) -> None:
    """As shipped but for fewer steps; with_and_without_mask works on what demo has left."""
    copy_demo_photographs(tmp_path / "in")
    host = LocalHost(tmp_path / "in", tmp_path / "out")
    for name in ("demo", "with_and_without_mask", "rgba_dataset", "all_but_face", "several_people"):
        prompt = read_prompt(WORKFLOWS / "api" / f"{name}.json")
        trainers = [key for key, node in prompt.items() if node.class_type == "MaskLossTrainLora"]
        override(prompt, [f"{key}.steps=2" for key in trainers], REGISTRY)
        run_prompt(prompt, REGISTRY, host)
    for made in ("maskloss_demo", "maskloss_compare_masked", "maskloss_compare_plain", "maskloss_clothes"):
        assert (tmp_path / f"out/loras/{made}.safetensors").is_file()
    for page in (
        "maskloss_demo/report",
        "maskloss_compare/with_mask",
        "maskloss_compare/without_mask",
        "maskloss_rgba/report",
        "maskloss_clothes/report",
    ):
        assert (tmp_path / "out" / page / "index.html").is_file()
    (picture,) = (tmp_path / "out/maskloss_rgba/rgba").glob("*.png")
    alpha_HW = load_image(picture)[1]
    assert alpha_HW is not None
    assert 0 < (alpha_HW > 0).mean() < 0.5, "one of three people, and nobody of the other photographs"
