"""ComfyHost over stand-ins for ComfyUI's modules; `test_comfy_server.py` does the same in a real server."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from maskloss.core.errors import PathError, TrainingError
from maskloss.core.host import ComfyHost, current_host
from maskloss.core.host.host import ModelKind, own_model_folders
from maskloss.core.host.live import KEPT_RUNS
from maskloss.core.host.observer import HostObserver
from maskloss.core.host.results import KEPT_RESULTS
from maskloss.core.paths import resolve_read
from maskloss.core.train.metrics import History, LossPoint
from maskloss.core.warning import collect_warnings, warn
from PIL import Image


class Interrupted(BaseException):
    pass


class Bar:
    updates: list[tuple[Any, ...]]

    def __init__(self, total: int, node_id: str | None = None) -> None:
        Bar.updates = [(total, node_id)]

    def update_absolute(self, value: int, total: int, preview: Any) -> None:
        Bar.updates.append((value, total, preview))


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a test may change: `context`, `listen`, `interrupt`, `registered` (model folders),
    `extra` (of the prompt); and `sent`, `texts`."""
    prompt = {"3": {"class_type": "A", "inputs": {"x": 1, "y": ["4", 0]}}, "4": {"class_type": "B", "inputs": {}}}
    given = SimpleNamespace(
        context=SimpleNamespace(prompt_id="p", node_id="3"),
        listen="127.0.0.1",
        interrupt=False,
        texts=[],
        sent=[],
        registered={},
        extra={},
    )

    def throw() -> None:
        if given.interrupt:
            raise Interrupted

    queue = SimpleNamespace(currently_running={0: (0, "other", {}, {}, []), 7: (1, "p", prompt, given.extra, [])})
    instance = SimpleNamespace(
        prompt_queue=queue,
        send_progress_text=lambda *sent: given.texts.append(sent),
        send_sync=lambda *sent: given.sent.append(sent),
    )
    modules = {
        "comfy": {},
        "comfy.cli_args": {"args": given},
        "comfy.model_management": {"throw_exception_if_processing_interrupted": throw},
        "comfy.utils": {"ProgressBar": Bar},
        "comfy_execution": {},
        "comfy_execution.utils": {"get_executing_context": lambda: given.context},
        "folder_paths": {
            **{f"get_{name}_directory": lambda name=name: str(tmp_path / name) for name in ("input", "output", "temp")},
            "models_dir": str(tmp_path / "models"),
            "folder_names_and_paths": given.registered,
            "get_folder_paths": lambda name: given.registered[name][0],
        },
        "server": {"PromptServer": SimpleNamespace(instance=instance)},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return given


def test_comfyui_is_the_host_where_its_modules_are(comfy: SimpleNamespace, tmp_path: Path) -> None:
    host = current_host()
    assert isinstance(host, ComfyHost)
    assert (host.folders().input, host.folders().output) == (tmp_path / "input", tmp_path / "output")


def test_models_lie_where_comfyui_says_then_in_its_models_folder_then_in_ours(
    comfy: SimpleNamespace, tmp_path: Path
) -> None:
    standard, host = tmp_path / "models", ComfyHost()
    assert host.model_folders(ModelKind.SAM) == (standard / "sams", *own_model_folders(ModelKind.SAM))
    comfy.registered["sams"] = ([str(tmp_path / "disk"), str(standard / "sams")], {".pth"})
    assert host.model_folders(ModelKind.SAM)[:2] == (tmp_path / "disk", standard / "sams")
    assert len(host.model_folders(ModelKind.SAM)) == 2 + len(own_model_folders(ModelKind.SAM))
    comfy.registered["ultralytics"] = ([str(tmp_path / "yolo")], set())
    comfy.registered["ultralytics_segm"] = ([str(tmp_path / "segm")], set())
    expected = (tmp_path / "segm", tmp_path / "yolo/segm", standard / "ultralytics/segm")
    assert host.model_folders(ModelKind.YOLO)[:3] == expected
    comfy.registered["sapiens2"] = ([str(tmp_path / "two")], set())
    assert host.model_folders(ModelKind.PARTS)[:2] == (tmp_path / "two", standard / "sapiens")


def test_absolute_paths_are_closed_on_a_network(comfy: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert resolve_read(ComfyHost().folders(), str(tmp_path / "elsewhere"))
    comfy.listen = "0.0.0.0,::"
    with pytest.raises(PathError, match="listens to a network"):
        resolve_read(ComfyHost().folders(), str(tmp_path / "elsewhere"))


def test_what_the_running_prompt_says(comfy: SimpleNamespace) -> None:
    assert ComfyHost().given_inputs() == {"x", "y"}
    assert ComfyHost().running_classes() == {"A", "B"}
    assert [set(inputs) for inputs in ComfyHost().running_inputs("A")] == [{"x", "y"}]
    assert ComfyHost().running_inputs("C") == ()
    comfy.context.node_id = "3.0.1"
    assert ComfyHost().given_inputs() is None, "a node that another one expanded into"
    comfy.context.prompt_id = "gone"
    assert ComfyHost().running_classes() is None
    comfy.context = None
    assert ComfyHost().given_inputs() is None
    assert ComfyHost().running_classes() is None
    assert ComfyHost().running_inputs("A") == ()


def test_what_a_node_shows_is_kept_by_the_workflow_that_the_graph_editor_named(comfy: SimpleNamespace) -> None:
    ComfyHost().keep_result({"said": ["of a prompt without a workflow"]})
    comfy.extra["extra_pnginfo"] = {"workflow": {"id": "kept in a test"}}
    ComfyHost().keep_result({"said": ["shown"]})
    comfy.context = None
    ComfyHost().keep_result({"said": ["of nobody"]})
    assert KEPT_RESULTS.of("kept in a test") == {
        "nodes": {"3": {"said": ["shown"]}},
        "classes": {"3": "A"},
    }
    assert KEPT_RESULTS.of("None")["nodes"] == {}


def test_progress_shows_a_preview_and_a_text_and_stops_at_once(comfy: SimpleNamespace) -> None:
    progress = ComfyHost().progress()
    progress.update(1, 4, "first", np.zeros((2, 3, 3), np.uint8))
    progress.update(2, 4, "too soon")
    progress.update(4, 4, "last")
    progress.update(4, 4, "last")
    assert Bar.updates[0] == (4, "3")
    kind, image, size = Bar.updates[1][2]
    assert (kind, image.size, size) == ("JPEG", (3, 2), 512)
    assert Bar.updates[2:] == [(2, 4, None), (4, 4, None), (4, 4, None)]
    assert comfy.texts == [("1/4 first", "3"), ("4/4 last", "3")]
    comfy.interrupt = True
    with pytest.raises(Interrupted):
        progress.update(4, 4)


def test_previews_are_named_by_content(comfy: SimpleNamespace, tmp_path: Path) -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    first, second, third = ComfyHost().show([picture, picture, picture + 1], "faces")
    assert first == second != third
    assert first["filename"].startswith("faces_")
    assert (first["subfolder"], first["type"]) == ("maskloss", "temp")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "temp/maskloss" / first["filename"])), picture)


def test_what_is_said_is_logged(comfy: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "maskloss"):
        ComfyHost().say("a banner")
    assert "a banner" in caplog.text


def test_a_warning_is_logged_as_one_and_sent_to_its_node(
    comfy: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    ComfyHost().warn("masks do nothing")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", "masks do nothing")]
    assert comfy.sent == [("maskloss.warning", {"node": "3", "prompt": "p", "text": "masks do nothing"})]
    comfy.context = None
    ComfyHost().warn("nobody runs")
    assert len(comfy.sent) == 1


def test_a_node_hears_what_the_nodes_before_it_warned_of(comfy: SimpleNamespace) -> None:
    comfy.context.node_id = "4"
    ComfyHost().keep_warnings(["of the first"])
    comfy.context.node_id = "3"
    ComfyHost().keep_warnings(["its own"])
    assert [(one.node, one.node_class, one.text) for one in ComfyHost().warnings_before()] == [
        ("4", "B", "of the first")
    ]
    comfy.context.node_id = "3.0.1"
    ComfyHost().keep_warnings(["of a node that another one expanded into"])
    assert ComfyHost().warnings_before() == []


def test_a_trainers_warnings_are_in_its_course(comfy: SimpleNamespace) -> None:
    with collect_warnings(ComfyHost().warn), HostObserver(ComfyHost(), 3, "loras/warned") as watched:
        warn("low coverage")
        watched.begin(History())
    messages = [content for event, content in comfy.sent if event == "maskloss.training"]
    assert [message["warnings"] for message in messages] == [[], ["low coverage"], ["low coverage"]]
    (kept,) = [run for run in KEPT_RUNS.whole()["runs"] if run["run"] == "loras/warned"]
    assert kept["warnings"] == ["low coverage"]


def test_a_training_node_tells_its_course_as_it_goes(comfy: SimpleNamespace) -> None:
    watched = HostObserver(ComfyHost(), 3, "loras/me")
    with watched:
        watched.begin(History([point(1)], [(0, 9.0)]))
        watched.on_validation(2, 7.0)
        watched.step(point(2), 3)
    events = {event for event, _ in comfy.sent}
    messages = [content for _, content in comfy.sent]
    assert events == {"maskloss.training"}
    assert all(json.loads(json.dumps(content, allow_nan=False)) == content for content in messages)
    assert {(m["node"], m["prompt"], m["run"], m["steps"]) for m in messages} == {("3", "p", "loras/me", 3)}
    assert [m["state"] for m in messages] == ["running"] * (len(messages) - 1) + ["finished"]
    told = [row for content in messages for row in content["points"]]
    assert [row[0] for row in told] == [0, 1, 2], "each point once"
    columns = messages[-1]["columns"]
    before, _, last = (dict(zip(columns, row, strict=True)) for row in told)
    assert {name: value for name, value in before.items() if value is not None} == {"step": 0, "validation": 9.0}
    assert {name: value for name, value in last.items() if name != "smoothed"} == {
        "step": 2, "loss": 2.0, "inside": 1.0, "outside": None, "validation": 7.0, "learning_rate": 1e-4,
        "coverage": 0.25, "prior": None, "tokens": None, "regularisation": None, "dop": None,
    }  # fmt: skip
    (kept,) = [run for run in KEPT_RUNS.whole()["runs"] if (run["node"], run["run"]) == ("3", "loras/me")]
    assert kept["points"] == told


@pytest.mark.parametrize(("end", "state"), [(Interrupted, "interrupted"), (TrainingError, "failed")])
def test_a_training_node_says_how_it_ended(comfy: SimpleNamespace, end: type[BaseException], state: str) -> None:
    with pytest.raises(end), HostObserver(ComfyHost(), 3, "lora"):
        raise end
    assert comfy.sent[-1][1]["state"] == state


def point(step: int) -> LossPoint:
    return LossPoint(step, float(step), step / 2, None, 0.25, 1e-4, 1.0)
