"""The bundled TFLite networks in OpenCV's DNN module: each is loaded once, when first used, and shared."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ModelMissingError
from .install import require


class Net:
    """One network. OpenCV's nets keep state between setInput and forward, hence the lock."""

    def __init__(self, path: Path) -> None:
        # OpenCV 5's new engine does not run these graphs; OpenCV 4 has only the classic one and no constant for it.
        engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
        try:
            self._net: Any = cv2.dnn.readNetFromTFLite(str(path), *(() if engine is None else (engine,)))
        except cv2.error as error:
            raise ModelMissingError(
                f"{path} cannot be loaded by OpenCV {cv2.__version__} ({error.err}); "
                "run `maskloss models --install`, which checks and replaces damaged files."
            ) from error
        self._lock = threading.Lock()

    def run(self, input_HWC: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
        """Feed one float32 HWC picture; returns the named outputs, float32 in the network's own shapes."""
        blob = np.ascontiguousarray(input_HWC.transpose(2, 0, 1)[None], np.float32)
        with self._lock:
            self._net.setInput(blob)
            return [np.array(output) for output in self._net.forward(list(outputs))]


def load_net(name: str) -> Net:
    """The bundled network `name`. ModelMissingError when it is not installed."""
    return _load(require(name))


@lru_cache(maxsize=16)
def _load(path: Path) -> Net:
    return Net(path)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function that does not overflow; float32."""
    return (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)
