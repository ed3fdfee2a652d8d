"""What `maskloss submit` refuses before it queues anything; `tests/on_server/test_submit.py` runs prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskloss.cli.main import EXIT_USER, main
from maskloss.cli.submit import submit_file
from maskloss.core.errors import PromptError, ServerError

from .small_server import small_server

NODES = {
    "LoadImage": {"input": {"required": {"image": ["STRING", {}]}}},
    **{f"Other{number}": {"input": {}} for number in range(40)},
    "Grows": {"input": {"required": {"values": ["COMFY_AUTOGROW_V3", {}]}}},
}


def written(tmp_path: Path, class_type: str = "LoadImage", **inputs: Any) -> Path:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps({"1": {"class_type": class_type, "inputs": inputs}}))
    return path


@pytest.mark.parametrize(
    ("class_type", "inputs", "said"),
    [
        ("LoadImge", {}, "node 1: the server has no node 'LoadImge'; did you mean 'LoadImage'?"),
        ("SomethingElse", {}, "node 1: the server has no node 'SomethingElse'; install its pack"),
        ("LoadImage", {"imge": "a.png"}, "'imge' is not an input of LoadImage; did you mean 'image'?"),
    ],
)
def test_what_the_server_does_not_know_is_refused_before_it_is_queued(
    tmp_path: Path, class_type: str, inputs: dict[str, Any], said: str
) -> None:
    with small_server({"/object_info": (200, NODES)}) as server, pytest.raises(PromptError) as refused:
        submit_file(written(tmp_path, class_type, **inputs), [], server.address)
    assert said in str(refused.value)
    assert [path for path, _ in server.asked] == ["/object_info"]


def test_an_override_of_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with small_server({"/object_info": (200, NODES)}) as server, pytest.raises(PromptError, match="did you mean"):
        submit_file(written(tmp_path, image="a.png"), ["1.imag=b.png"], server.address)


def test_parts_of_an_input_that_grows_are_the_servers_matter(tmp_path: Path) -> None:
    path = written(tmp_path, "Grows", **{"values.0": 1, "values.1": 2})
    with small_server({"/object_info": (200, NODES)}) as server, pytest.raises(ServerError, match="cannot be opened"):
        submit_file(path, [], server.address)  # and no PromptError: this server has no messages


@pytest.mark.parametrize(
    ("address", "words"),
    [("127.0.0.1:9", "No ComfyUI answers at http://127.0.0.1:9"), ("ftp://x", "is no address; give host:port")],
)
def test_an_address_without_a_server(
    address: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(written(tmp_path, image="a.png")), "--server", address]) == EXIT_USER
    assert words in capsys.readouterr().err
