"""The translations have every text of every node and none of a node that is gone.

English is the nodes' own texts; after a change of theirs `python tests/web/test_locales.py` writes it anew. Chinese is
written by hand: what `test_chinese_has_every_text` names as missing is to be added there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from maskloss import NODE_CLASS_MAPPINGS
from maskloss.nodes.checks import declared_inputs

LOCALES = Path(__file__).parents[2] / "locales"
TYPES = {
    "MASKLOSS_CACHE": "latent cache",
    "MASKLOSS_DATASET": "dataset",
    "MASKLOSS_DEMO_CLIP": "demo text encoder",
    "MASKLOSS_DEMO_MODEL": "demo model",
    "MASKLOSS_DEMO_VAE": "demo VAE",
    "MASKLOSS_FACE_RECOGNIZER": "face recognizer",
    "MASKLOSS_IDENTITY": "identity",
    "MASKLOSS_LORA": "LoRA config",
    "MASKLOSS_LOSS": "mask loss settings",
    "MASKLOSS_OPTIMIZER": "optimizer",
    "MASKLOSS_PARTS": "parts",
    "MASKLOSS_PART_SEGMENTER": "part segmenter",
    "MASKLOSS_PEOPLE": "people",
    "MASKLOSS_PERSON_SEGMENTER": "person segmenter",
    "MASKLOSS_SAMPLING": "sampling",
}


def english_nodes() -> dict[str, Any]:
    """locales/en/nodeDefs.json as ComfyUI's front end reads it."""
    return {name: _english_node(node) for name, node in sorted(NODE_CLASS_MAPPINGS.items())}


def _english_node(node: Any) -> dict[str, Any]:
    inputs = {key: {"name": key, "tooltip": options["tooltip"]} for key, (_, options) in declared_inputs(node).items()}
    outputs = {str(place): {"name": name} for place, name in enumerate(getattr(node, "RETURN_NAMES", ()))}
    return {
        "display_name": node.TITLE,
        "description": node.DESCRIPTION,
        **({"inputs": inputs} if inputs else {}),
        **({"outputs": outputs} if outputs else {}),
    }


def english_main() -> dict[str, Any]:
    """locales/en/main.json: the parts of our categories and the types of our sockets."""
    parts = {part for node in NODE_CLASS_MAPPINGS.values() for part in node.CATEGORY.split("/")}
    return {"dataTypes": TYPES, "nodeCategories": {part: part for part in sorted(parts)}}


def texts(tree: dict[str, Any], at: str = "") -> dict[str, str]:
    """Every text by its dotted key."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        found |= texts(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return found


def read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / name).read_text(encoding="utf-8"))


# The commands of web/maskloss.js, whose ids have an underscore for each dot here.
COMMANDS = {"MaskLoss_Viewer": {"label": "MaskLoss: look through and correct"}}
ENGLISH = {"nodeDefs.json": english_nodes(), "main.json": english_main(), "commands.json": COMMANDS}


@pytest.mark.parametrize("name", ENGLISH)
def test_english_is_what_the_nodes_say(name: str) -> None:
    assert read("en", name) == ENGLISH[name], "run: .venv/bin/python tests/web/test_locales.py"


@pytest.mark.parametrize("name", ENGLISH)
def test_chinese_has_every_text(name: str) -> None:
    chinese, english = texts(read("zh", name)), texts(ENGLISH[name])
    missing = [f"{key}: {text}" for key, text in english.items() if not chinese.get(key, "").strip()]
    assert not missing, f"to be translated in locales/zh/{name}:\n" + "\n".join(missing)
    left_over = sorted(set(chinese) - set(english))
    assert not left_over, f"to be deleted in locales/zh/{name}: {', '.join(left_over)}"


def test_chinese_is_in_chinese() -> None:
    sentences = {
        key: text
        for key, text in texts(read("zh", "nodeDefs.json")).items()
        if key.endswith(("tooltip", "description")) and not re.search(r"[一-鿿]", text)
    }
    assert not sentences


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_text_has_what_the_front_end_would_fill_in(language: str) -> None:
    """{name}, @:key and a|b are instructions in the front end's translations."""
    found = {
        key: text for name in ENGLISH for key, text in texts(read(language, name)).items() if re.search(r"[{}@|]", text)
    }
    assert not found


def test_every_socket_type_of_ours_has_a_name() -> None:
    kinds = {kind for node in NODE_CLASS_MAPPINGS.values() for kind in node.RETURN_TYPES if kind.startswith("MASKLOSS")}
    assert kinds == set(TYPES)


if __name__ == "__main__":
    for file, content in ENGLISH.items():
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        (LOCALES / "en" / file).write_text(text, encoding="utf-8")
