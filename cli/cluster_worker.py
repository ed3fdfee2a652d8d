"""One process of a cluster: it loads the models of a prompt once and works on the pieces that it is given."""

from __future__ import annotations

import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..core.comfy.registry import comfyui_nodes
from ..core.errors import ItemsFailedError, UserError
from ..core.host import LocalHost, use_host
from ..core.version import source_digest
from ..core.warning import collect_warnings
from .cluster_models import ModelPlace, unpickled
from .prompt import Prompt, Registry, as_api
from .run import REGISTRY
from .runner import NodeResult, node_inputs, run_node

CLOCKS_APART_S = 3600.0  # of the day after which another machine's file is an abandoned one


@dataclass(frozen=True)
class Job:
    """What every process of a cluster is told first. `mark` is a file that all of them have to see, `versions` is what
    `versions_here` gave where the work is given out. With `foreign` the prompt has nodes of ComfyUI itself."""

    prompt: Prompt
    input_directory: Path
    output_directory: Path
    mark: Path
    versions: Mapping[str, str]
    foreign: bool = False
    base_directory: Path | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a piece: its `value`; or a `problem` with all of it, or `reasons` by the items' names. `fatal`: what
    is wrong in this process, whichever piece it gets."""

    value: Any = None
    problem: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    fatal: str = ""
    warnings: tuple[str, ...] = ()
    memory_bytes: int = 0


@dataclass(frozen=True)
class Clock:
    """The time on a machine, in seconds since 1970."""

    machine: str
    seconds: float

    def problem(self, asked: float, answered: float) -> str:
        """Why this clock cannot be worked by, where the time here was `asked` before and `answered` after it was read;
        empty where it can."""
        apart = max(asked - self.seconds, self.seconds - answered)
        if apart <= CLOCKS_APART_S:
            return ""
        here, there = (
            datetime.fromtimestamp(each, timezone.utc).strftime("%Y-%m-%d %H:%M") for each in (answered, self.seconds)
        )
        return (
            f"The clock of {self.machine} says {there} (UTC), and {here} where the work is given out; set both right, "
            "as by NTP. A machine removes what others have left half-written a day ago."
        )


def versions_here() -> dict[str, str]:
    """What must be the same in all processes, for equal bytes."""
    return {
        "this pack's code": source_digest(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
        "Python": platform.python_version(),
    }


class Worker:
    """Works on one piece at a time, with one core."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._job = job
        self._host = LocalHost(job.input_directory, job.output_directory)
        self._host.begin_prompt(as_api(job.prompt))
        self._registry: Registry | None = None
        self._made: dict[str, NodeResult] = {}
        self._step = 0
        self._opened = ExitStack()
        self._work: Callable[[Any], Any] | None = None

    def ready(self) -> Answer:
        """The `problem` is what keeps this process from doing the same as the others; the value is its `Clock`."""
        return Answer(Clock(socket.gethostname(), time.time()), self._problem())

    def _problem(self) -> str:
        here = versions_here()
        for name, version in self._job.versions.items():
            if here[name] != version:
                return (
                    f"{socket.gethostname()} has another version of {name}: {here[name]}, and {version} where the work "
                    "is given out; install the same on every machine."
                )
        if not self._job.mark.is_file():
            return (
                f"{socket.gethostname()} does not see {self._job.mark}, which was written where the work is given out; "
                "mount the folder of --output at the same path on every machine, and so those of photographs and models"
            )
        return ""

    def do(self, step: int, work: Callable[[], bytes], content: Any) -> Answer:
        """Do the `step`'s work on a piece's content; `work` gives what the step's work was pickled to."""
        with (
            use_host(self._host), collect_warnings(lambda _: None) as warnings, torch.inference_mode(False),
            torch.no_grad(),
        ):  # fmt: skip
            answer = self._do(step, work, content)
        return Answer(answer.value, answer.problem, answer.reasons, answer.fatal, tuple(warnings.texts), _peak_memory())

    def finish(self) -> str:
        """End the step: what was noted in ledgers is written into one file. What went wrong comes back."""
        opened, self._opened, self._work = self._opened, ExitStack(), None
        try:
            opened.close()
        except UserError as error:
            return str(error)
        return ""

    def _do(self, step: int, work: Callable[[], bytes], content: Any) -> Answer:
        try:
            if step != self._step or self._work is None:
                problem = self.finish()
                if problem:
                    return Answer(fatal=problem)
                self._work = unpickled(work(), self._model, self._opened)
                self._step = step
        except UserError as error:
            return Answer(fatal=f"{socket.gethostname()}: {error}")
        try:
            return Answer(self._work(content))
        except ItemsFailedError as error:
            return Answer(reasons=error.reasons)
        except UserError as error:
            return Answer(problem=str(error))

    def _model(self, place: ModelPlace) -> Any:
        return self._run(place.node).outputs[place.output][place.item]

    def _run(self, node_id: str) -> NodeResult:
        """What a node of the prompt gives, which is run here when it is first needed."""
        if node_id not in self._made:
            node = self._job.prompt[node_id]
            for source, _ in node.links().values():
                self._run(source)
            cls = self._nodes()[node.class_type]
            self._host.begin_node(node.id, node.label)
            self._made[node_id] = run_node(cls, node_inputs(node, cls, self._made))
        return self._made[node_id]

    def _nodes(self) -> Registry:
        if self._registry is None:
            foreign = comfyui_nodes(self._job.base_directory) if self._job.foreign else {}
            self._registry = {**foreign, **REGISTRY}
        return self._registry


def _peak_memory() -> int:
    """The most main memory that this process has had, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
