"""The bundled TFLite networks in OpenCV's DNN module: loaded when first used, then shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ModelMissingError
from ..model_runs import convert_model_errors
from .install import require


class Net:
    """One network, for any number of threads.

    OpenCV's nets keep state between setInput and forward, so each runs one picture at a time. A thread that finds none
    idle loads another; there are as many as were ever in use at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[Any] = [_read(path)]

    def run(self, input_HWC: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
        """Feed one float32 HWC picture; returns the named outputs, float32 in the network's own shapes.

        ModelRunError when OpenCV fails to run it.
        """
        blob = np.ascontiguousarray(input_HWC.transpose(2, 0, 1)[None], np.float32)
        with self._lock:
            net = self._idle.pop() if self._idle else None
        net = _read(self._path) if net is None else net
        with convert_model_errors(self._path.name, input_HWC):
            net.setInput(blob)
            results = [np.array(output) for output in net.forward(list(outputs))]
        with self._lock:
            self._idle.append(net)
        return results


def load_net(name: str) -> Net:
    """The bundled network `name`. ModelMissingError when it is not installed."""
    return _load(require(name))


@lru_cache(maxsize=16)
def _load(path: Path) -> Net:
    return Net(path)


def _read(path: Path) -> Any:
    # OpenCV 5's new engine does not run these graphs; OpenCV 4 has only the classic one and no constant for it.
    engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    try:
        return cv2.dnn.readNetFromTFLite(str(path), *(() if engine is None else (engine,)))
    except cv2.error as error:
        raise ModelMissingError(
            f"{path} cannot be loaded by OpenCV {cv2.__version__} ({error.err}); "
            "run `maskloss models --install`, which checks and replaces damaged files."
        ) from error


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function that does not overflow; float32."""
    return (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)
