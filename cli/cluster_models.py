"""Pickles the work of a step for other processes: models by the node that makes them, ledgers by their folder."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ModelMissingError
from ..core.masks.ledger import Ledger, open_ledger
from ..nodes.sockets import (
    DEMO_CLIP,
    DEMO_MODEL,
    DEMO_VAE,
    FACE_RECOGNIZER,
    PART_SEGMENTER,
    PERSON_SEGMENTER,
)

_MODELS = (PART_SEGMENTER, PERSON_SEGMENTER, FACE_RECOGNIZER, DEMO_MODEL, DEMO_VAE, DEMO_CLIP, "MODEL", "VAE", "CLIP")


@dataclass(frozen=True)
class ModelPlace:
    """Where a model comes from: an item of a node's output; `identity` is what it has to be in every process, where it
    has one."""

    node: str
    output: int
    item: int
    identity: str


@dataclass(frozen=True)
class LedgerPlace:
    """What a ledger is opened by."""

    directory: Path
    step: str
    file_name: str


class ModelPlaces:
    """The models that a prompt's nodes have made so far. They are held, so that none is taken for another one."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[object, ModelPlace]] = {}

    def note(self, node: str, types: Sequence[str], outputs: Sequence[Sequence[Any]]) -> None:
        """Note what a node gave, by the types of its outputs."""
        for number, (kind, values) in enumerate(zip(types, outputs, strict=True)):
            for item, value in enumerate(values if kind in _MODELS else ()):
                identity = getattr(value, "identity", "")
                place = ModelPlace(node, number, item, identity if isinstance(identity, str) else "")
                self._places[id(value)] = value, place

    def pickled(self, work: object) -> bytes:
        """A step's work, to be read by `unpickled`."""
        places = self._places
        written = io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: Any) -> object:
                if isinstance(obj, Ledger):
                    return LedgerPlace(*obj.place)
                return places[id(obj)][1] if id(obj) in places else None

        Pickler(written, pickle.HIGHEST_PROTOCOL).dump(work)
        return written.getvalue()


def unpickled(content: bytes, model: Callable[[ModelPlace], Any], opened: ExitStack) -> Any:
    """The work, with what `model` gives for each model. Its ledgers are open until `opened` is closed.

    ModelMissingError where a model is another one here.
    """
    ledgers: dict[LedgerPlace, Ledger] = {}

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            if isinstance(pid, ModelPlace):
                found = model(pid)
                here = getattr(found, "identity", "")
                if pid.identity and here != pid.identity:
                    raise ModelMissingError(
                        f"The model of node {pid.node} is {here} here, and {pid.identity} where the work is given out; "
                        "give every machine the same files."
                    )
                return found
            if pid not in ledgers:
                ledgers[pid] = opened.enter_context(open_ledger(pid.directory, pid.step, pid.file_name))
            return ledgers[pid]

    return Unpickler(io.BytesIO(content)).load()
