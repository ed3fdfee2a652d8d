"""What a node needs of the program that runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..bundled.registry import models_directory
from ..dataset.shard import Shard
from ..paths import Folders
from ..progress import Progress
from ..spread import Spread
from ..train.observer import TrainObserver
from ..train.ranks import Ranks
from .given import GivenWarning
from .hand_over import OwnPrompt


class ModelKind(str, Enum):
    """Weights that a user may have, by where they lie."""

    SAM = "sams"
    YOLO = "yolo"
    INSIGHTFACE = "insightface"
    PARTS = "parts"

    @property
    def folder_names(self) -> tuple[str, ...]:
        """The folders of this kind inside a models folder, "/"-separated, as other packs name them too."""
        return _FOLDER_NAMES[self]


_FOLDER_NAMES = {
    ModelKind.SAM: ("sams",),
    ModelKind.YOLO: ("ultralytics/segm",),
    ModelKind.INSIGHTFACE: ("insightface",),
    ModelKind.PARTS: ("sapiens", "sapiens2", "segformer"),
}
_PACK_MODELS = Path(__file__).resolve().parents[2] / "models"


class Host(Protocol):
    """ComfyUI, or nothing but a working directory."""

    def folders(self) -> Folders:
        """The folders that are open to this prompt."""
        ...

    def model_folders(self, kind: ModelKind) -> tuple[Path, ...]:
        """Where weights of this kind are looked for, the first one first; not all of these folders need be there."""
        ...

    def shard(self) -> Shard | None:
        """Which shard of its datasets this prompt works on, where several machines divide them; None for all."""
        ...

    def spread(self) -> Spread | None:
        """The other processes that do the work on this prompt's items; None where this one does it."""
        ...

    def ranks(self) -> Ranks:
        """The processes that train one LoRA together, of which this is one; to be asked when training is about to
        begin."""
        ...

    def own_prompt(self) -> OwnPrompt | None:
        """The running prompt, as other processes may run it; None where it is not known, or the running node is not in
        it."""
        ...

    def observers(self) -> tuple[TrainObserver, ...]:
        """Who is to be told of a training run beside this host: nobody, but where another process waits for it."""
        ...

    def progress(self) -> Progress:
        """A new progress for the node that is running; its `update` raises when the user interrupts."""
        ...

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        """Keep uint8 RGB or RGBA pictures where the front end finds them.

        Returns one {"filename", "subfolder", "type"} per picture, as ComfyUI's `ui` results hold them.
        """
        ...

    def given_inputs(self) -> frozenset[str] | None:
        """The input names that the prompt gives to the running node; None where that cannot be known."""
        ...

    def running_classes(self) -> frozenset[str] | None:
        """The classes of all nodes in the running prompt; None where that cannot be known."""
        ...

    def running_node(self) -> tuple[str, str] | None:
        """(node id, prompt id) of the running node; None where no graph editor watches it."""
        ...

    def send(self, event: str, content: Mapping[str, Any]) -> None:
        """Tell the graph editor, where there is one; `content` is JSON."""
        ...

    def is_working(self) -> bool:
        """Whether a prompt is running, whoever asks."""
        ...

    def running_inputs(self, node_class: str) -> tuple[Mapping[str, Any], ...]:
        """The inputs of each node of a class in the running prompt; none where that cannot be known."""
        ...

    def say(self, text: str) -> None:
        """Tell the user something, one or more lines: a banner, or what was found."""
        ...

    def warn(self, text: str) -> None:
        """Tell the user a warning as it comes: the log has it, and so has the node."""
        ...

    def keep_warnings(self, texts: Sequence[str]) -> None:
        """Keep what the running node warned of, for the reports behind it; to be called at its end, with none too."""
        ...

    def keep_result(self, shown: Mapping[str, list[Any]]) -> None:
        """Keep the `ui` of the running node's result for a page that is loaded again; to be called at its end."""
        ...

    def warnings_before(self) -> list[GivenWarning]:
        """What the nodes before the running one warned of when they last ran."""
        ...


def own_model_folders(kind: ModelKind) -> tuple[Path, ...]:
    """The folders of this kind that belong to this pack: under MASKLOSS_MODELS where it is set, then in the pack."""
    return once(root / name for root in (models_directory(), _PACK_MODELS) for name in kind.folder_names)


def once(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Absolute, each one only where it comes first."""
    return tuple(dict.fromkeys(folder.absolute() for folder in folders))
