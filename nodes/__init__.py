"""The nodes: sockets and translation. Each class unpacks, calls core once, and returns."""

from __future__ import annotations

from . import load, person, settings, training, weights
from .node import Node

_NODES: tuple[type[Node], ...] = (*load.NODES, *weights.NODES, *person.NODES, *settings.NODES, *training.NODES)

NODE_CLASS_MAPPINGS = {node.__name__: node for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.TITLE for node in _NODES}
