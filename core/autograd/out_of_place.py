"""Traced code that writes into its tensors (`img += …`), rewritten to make new ones.

What such a block overwrites may be saved for its backward pass, which is then refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

_OPERATORS: dict[Any, Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_VALUE = "example_value"


def write_out_of_place(module: fx.GraphModule) -> None:
    """Rewrite every such operation of a graph of Dynamo's after which nobody sees the tensor that is written to by
    another name, such as a view of it. The others stay."""
    graph = module.graph
    place = {node: index for index, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        function = _out_of_place(node)
        target = node.args[0] if function is not None else None
        if function is None or not isinstance(target, fx.Node) or not _seen_alone(target, node, place):
            continue
        value: torch.Tensor = target.meta[_VALUE]
        with graph.inserting_before(node):
            new = graph.call_function(function, node.args, node.kwargs)
            # Written to, a tensor keeps its dtype and shape.
            new = graph.call_method("to", (new, value.dtype))
        new.meta = dict(node.meta)
        place[new] = place[node]
        for user in list(target.users):
            if place.get(user, -1) > place[node]:
                user.replace_input_with(target, new)
        node.replace_all_uses_with(new)
        graph.erase_node(node)
    module.recompile()


def _out_of_place(node: fx.Node) -> Callable[..., Any] | None:
    """The operation that gives what this one writes; None for one that writes nothing, or is not known."""
    if node.op == "call_function":
        return _OPERATORS.get(node.target)
    name = node.target if node.op == "call_method" and isinstance(node.target, str) else ""
    if not name.endswith("_") or name.startswith("_") or name in ("requires_grad_", "copy_"):
        return None
    function: Callable[..., Any] | None = getattr(torch.Tensor, name.removesuffix("_"), None)
    return function


def _seen_alone(target: fx.Node, node: fx.Node, place: dict[fx.Node, int]) -> bool:
    """Whether no other tensor of the same memory, from before `node`, is used after it."""
    value = target.meta.get(_VALUE)
    if not isinstance(value, torch.Tensor):
        return False
    return not any(
        _shares_memory(other.meta.get(_VALUE), value) and _last_use(other, place) > place[node]
        for other in place
        if other is not target and place[other] < place[node]
    )


def _last_use(node: fx.Node, place: dict[fx.Node, int]) -> int:
    return max((place.get(user, -1) for user in node.users), default=-1)


def _shares_memory(value: Any, other: torch.Tensor) -> bool:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return any(isinstance(each, torch.Tensor) and _memory(each) == _memory(other) for each in values)


def _memory(tensor: torch.Tensor) -> int:
    """Also of a tensor without values, which has no address."""
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
