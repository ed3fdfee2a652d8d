"""A server's answers over real HTTP; `tests/on_server/test_submit.py` asks a real ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest
from maskloss.cli.comfy_server import ComfyServer
from maskloss.core.errors import ServerError

from .small_server import small_server

PROMPT = {"1": {"class_type": "A", "inputs": {}}}


def test_an_address_may_have_a_scheme_and_a_path_and_must_be_one() -> None:
    assert ComfyServer("127.0.0.1:8188").address == "http://127.0.0.1:8188"
    assert ComfyServer("https://host/comfy/").address == "https://host/comfy"
    for address in ("ftp://x", "http://", ""):
        with pytest.raises(ServerError, match="is no address; give host:port"):
            ComfyServer(address)


def test_a_silent_address_is_said_with_the_way_out() -> None:
    with small_server({}) as server:
        address = server.address
    with pytest.raises(ServerError, match=f"No ComfyUI answers at http://{address} .*--server host:port"):
        ComfyServer(address).nodes()


@pytest.mark.parametrize(
    ("answer", "said"),
    [((404, b""), "answers 404 (Not Found)"), ((500, b"{}"), "answers 500"), ((200, b"<html>"), "is not JSON")],
)
def test_what_is_no_comfyui_is_told_by_its_answer(answer: tuple[int, Any], said: str) -> None:
    with small_server({"/object_info": answer}) as server, pytest.raises(ServerError) as refused:
        ComfyServer(server.address).nodes()
    assert said in str(refused.value)
    assert "/object_info" in str(refused.value)


def test_a_refusal_of_a_prompt_is_an_answer_and_any_other_an_error() -> None:
    refusal = {"error": {"message": "no outputs"}, "node_errors": {}}
    with small_server({"/prompt": (400, refusal)}) as server:
        assert ComfyServer(server.address).queue(PROMPT) == refusal
        ((path, sent),) = server.asked
        assert (path, sent["prompt"]) == ("/prompt", PROMPT)
        assert sent["client_id"]
        server.answers["/prompt"] = (413, {})
        with pytest.raises(ServerError, match="answers 413"):
            ComfyServer(server.address).queue(PROMPT)


def test_a_prompt_waits_while_it_is_queued_or_runs_and_then_has_a_result() -> None:
    queue = {"queue_running": [[0, "runs", {}, {}, []]], "queue_pending": [[1, "waits", {}, {}, []]]}
    answers = {"/queue": (200, queue), "/history/runs": (200, {}), "/history/over": (200, {"over": {"outputs": {}}})}
    with small_server(answers) as small:
        server = ComfyServer(small.address)
        assert [server.is_waiting(name) for name in ("runs", "waits", "over")] == [True, True, False]
        assert server.result("runs") is None
        assert server.result("over") == {"outputs": {}}


def test_a_prompt_is_taken_out_of_the_queue_and_stopped() -> None:
    with small_server({"/queue": (200, b""), "/interrupt": (200, b"")}) as server:
        ComfyServer(server.address).remove("p")
        assert server.asked == [("/queue", {"delete": ["p"]}), ("/interrupt", {"prompt_id": "p"})]


def test_a_server_without_messages_is_said() -> None:
    with (
        small_server({}) as server,
        pytest.raises(ServerError, match=r"cannot be opened .*is this ComfyUI"),
        ComfyServer(server.address).follow(),
    ):
        pass
