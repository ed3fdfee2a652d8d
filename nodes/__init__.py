"""The nodes: sockets and translation. Each class unpacks, calls core once, and returns."""

from __future__ import annotations

from ..core.host import serve_routes
from . import (
    cache,
    dataset,
    dataset_config,
    dataset_controls,
    dataset_crops,
    dataset_exchange,
    dataset_masks,
    load,
    lora_files,
    people,
    person,
    plan,
    report,
    sampling,
    scores,
    settings,
    training,
    weights,
)
from .node import Node

_MODULES = (
    load,
    weights,
    person,
    dataset,
    dataset_config,
    dataset_masks,
    people,
    dataset_controls,
    dataset_crops,
    dataset_exchange,
    cache,
    settings,
    training,
    lora_files,
    plan,
    sampling,
    scores,
    report,
)
_NODES: tuple[type[Node], ...] = tuple(node for module in _MODULES for node in module.NODES)

NODE_CLASS_MAPPINGS = {node.__name__: node for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.TITLE for node in _NODES}

serve_routes()
