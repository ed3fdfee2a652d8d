"""Every shipped prompt fits the nodes: ids, inputs, links, choices, and what the nodes themselves check."""

from __future__ import annotations

from pathlib import Path

import maskloss
import pytest
from maskloss.cli.prompt import checked_order, read_prompt
from maskloss.cli.run import REGISTRY
from maskloss.core.bundled.install import DEMO_REFERENCE_FACE_INDEX

PROMPTS = sorted((Path(maskloss.__file__).parent / "workflows/api").glob("*.json"))


@pytest.mark.models
@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
def test_a_shipped_prompt_passes_every_check(path: Path) -> None:
    prompt = read_prompt(path)
    order = checked_order(prompt, REGISTRY)
    assert {node.id for node in order} == set(prompt), "no node is off the road"


def test_the_demo_names_the_face_that_the_photographs_have() -> None:
    prompt = read_prompt(Path(maskloss.__file__).parent / "workflows/api/demo.json")
    (reference,) = [node for node in prompt.values() if node.class_type == "MaskLossReferenceFaces"]
    assert reference.inputs["face_index"] == DEMO_REFERENCE_FACE_INDEX
