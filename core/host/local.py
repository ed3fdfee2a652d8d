"""The host outside ComfyUI: folders on disk, progress as lines on stderr, previews as files."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.shard import Shard
from ..images import save_image
from ..paths import Folders, roots_from_environment
from ..progress import Progress
from ..spread import Spread
from ..train.observer import TrainObserver
from ..train.ranks import ALONE, Ranks
from .given import ApiPrompt, GivenWarning, GivenWarnings
from .hand_over import OwnPrompt
from .host import ModelKind, own_model_folders

SECONDS_BETWEEN_LINES = 2.0


class LocalHost:
    """Runs on the user's own machine, so every absolute path is open.

    Whoever runs a prompt says so with `begin_prompt` and `begin_node`. `label` is "<node id> <class>" of the running
    node, and `classes` are those of the prompt's nodes.
    """

    def __init__(
        self,
        input_directory: Path | None = None,
        output_directory: Path | None = None,
        shard: Shard | None = None,
        spread: Spread | None = None,
    ) -> None:
        self._folders = Folders(
            input=(input_directory or Path.cwd()).absolute(),
            output=(output_directory or Path.cwd()).absolute(),
            roots=roots_from_environment(),
            absolute_allowed=True,
        )
        self._shard, self._spread = shard, spread
        self.label = ""
        self.classes: frozenset[str] | None = None
        self._prompt: ApiPrompt | None = None
        self._prompts = 0
        self._node = ""
        self._given = GivenWarnings()

    def begin_prompt(self, prompt: ApiPrompt) -> None:
        """The nodes of `prompt` are run from now on."""
        self._prompt, self._prompts = prompt, self._prompts + 1
        self.classes = frozenset(str(node["class_type"]) for node in prompt.values())

    def begin_node(self, node: str, label: str) -> None:
        """`node` of that prompt is run from now on."""
        self._node, self.label = node, label

    def folders(self) -> Folders:
        return self._folders

    def model_folders(self, kind: ModelKind) -> tuple[Path, ...]:
        return own_model_folders(kind)

    def shard(self) -> Shard | None:
        return self._shard

    def spread(self) -> Spread | None:
        return self._spread

    def ranks(self) -> Ranks:
        return ALONE

    def own_prompt(self) -> OwnPrompt | None:
        return None if self._prompt is None else OwnPrompt(self._prompt, self._node)

    def observers(self) -> tuple[TrainObserver, ...]:
        return ()

    def progress(self) -> Progress:
        return LineProgress(self.label)

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        stem = re.sub(r"[^\w-]+", "_", f"{self.label} {name}".strip())
        shown: list[dict[str, str]] = []
        for number, picture in enumerate(pictures):
            filename = f"{stem}_{number:03}.png"
            save_image(self._folders.output / "previews" / filename, picture)
            shown.append({"filename": filename, "subfolder": "previews", "type": "output"})
        return shown

    def given_inputs(self) -> frozenset[str] | None:
        # The runner has checked the names before anything ran.
        return None

    def running_classes(self) -> frozenset[str] | None:
        return self.classes

    def running_node(self) -> tuple[str, str] | None:
        return None

    def send(self, event: str, content: Mapping[str, Any]) -> None:
        return None

    def is_working(self) -> bool:
        return False

    def running_inputs(self, node_class: str) -> tuple[Mapping[str, Any], ...]:
        # Every node runs anew, so none has to speak for one whose result is kept from before.
        return ()

    def say(self, text: str) -> None:
        sys.stderr.write("".join(f"  {line}\n" for line in text.splitlines()))

    def warn(self, text: str) -> None:
        self.say(f"WARNING: {text}")

    def keep_warnings(self, texts: Sequence[str]) -> None:
        if self._prompt is not None:
            self._given.keep(self._prompt, str(self._prompts), self._node, texts)

    def keep_result(self, shown: Mapping[str, list[Any]]) -> None:
        return None

    def warnings_before(self) -> list[GivenWarning]:
        return [] if self._prompt is None else self._given.before(self._prompt, self._node)


class LineProgress:
    """Writes a line to stderr at the first step, at most every two seconds, and at the last."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._written_at = -SECONDS_BETWEEN_LINES
        self._line = ""

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        line = f"  [{self._label}] {done}/{total} {text}".rstrip()
        now = time.monotonic()
        if line != self._line and (done >= total or now - self._written_at >= SECONDS_BETWEEN_LINES):
            sys.stderr.write(line + "\n")
            self._written_at, self._line = now, line
