"""The bundled TFLite networks, run in torch: loaded when first used, then shared by all threads."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..model_runs import convert_model_errors
from .install import require
from .tflite import damaged_files, read_graph
from .torch_graph import TorchGraph


class Net:
    """One network with the outputs that are asked of it, for any number of threads."""

    def __init__(self, path: Path, outputs: tuple[str, ...]) -> None:
        self.name = path.name
        with damaged_files(path):
            self._run = TorchGraph(read_graph(path), outputs)

    def run(self, pictures_NHWC: np.ndarray) -> list[np.ndarray]:
        """Feed pictures of the network's size, float32 or what becomes it; returns the outputs, float32 in the
        network's own shapes with the pictures along the first axis. Each picture gives the same in any company.

        May raise the host's interrupt before it begins. ModelRunError when torch fails to run it.
        """
        with convert_model_errors(self.name, pictures_NHWC[0]):
            return self._run(np.ascontiguousarray(pictures_NHWC, np.float32))


def load_net(name: str, outputs: tuple[str, ...]) -> Net:
    """The bundled network `name`. ModelMissingError when it is not installed."""
    return _load(require(name), outputs)


@lru_cache(maxsize=16)
def _load(path: Path, outputs: tuple[str, ...]) -> Net:
    return Net(path, outputs)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function that does not overflow; float32."""
    return (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)
