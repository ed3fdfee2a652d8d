"""What every node of this pack shares: a subclass only declares its inputs and writes `run`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from ..core.errors import PromptError, SettingError
from ..core.host import current_host
from ..core.warning import collect_warnings
from .checks import WIDGETS, checked_by_itself, declared_inputs, problem_with, unknown_input
from .results import with_warnings


class Node:
    """Base of all node classes.

    `run` is wrapped once, here: names that the node does not have are refused (ComfyUI drops them in silence),
    values are checked again (a linked value has passed no range check), ComfyUI's inference mode is left, because
    tensors made inside it can never be trained on, and what was warned of goes with the result.
    """

    FUNCTION = "run"
    CATEGORY = "MaskLoss"
    TITLE: ClassVar[str] = ""
    OUTPUT_NODE: ClassVar[bool] = False
    # Set for every node that is no output: ComfyUI then tells again what it showed, its warnings too, where it takes
    # the result from its cache. Of outputs it does so anyway.
    HAS_INTERMEDIATE_OUTPUT: ClassVar[bool] = False
    INPUT_IS_LIST: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.HAS_INTERMEDIATE_OUTPUT = not cls.OUTPUT_NODE
        if "run" in cls.__dict__:
            setattr(cls, "run", _wrap_run(cls.__dict__["run"]))  # noqa: B010


def title_of(node_class: str) -> str:
    """What the graph editor calls the nodes of a class; the class's own name where it is none of this pack."""
    return next((node.TITLE for node in Node.__subclasses__() if node.__name__ == node_class), node_class)


def _wrap_run(run: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(run)

    @functools.wraps(run)
    def checked(self: Node, *args: Any, **inputs: Any) -> Any:
        node = type(self)
        for name in sorted((current_host().given_inputs() or frozenset()) - set(declared_inputs(node))):
            raise PromptError(unknown_input(node, name))
        _check_values(node, signature.bind(self, *args, **inputs).arguments)
        host = current_host()
        with torch.inference_mode(False), torch.no_grad(), collect_warnings(host.warn) as warnings:
            result = run(self, *args, **inputs)
        host.keep_warnings(warnings.texts)
        shown = with_warnings(result, warnings.texts, watched=host.running_node() is not None)
        if isinstance(shown, dict):
            host.keep_result(shown["ui"])
        return shown

    return checked


def _check_values(node: type[Node], inputs: dict[str, Any]) -> None:
    own = checked_by_itself(node)
    for name, declaration in declared_inputs(node).items():
        if declaration[0] not in WIDGETS or name not in inputs:
            continue
        values = inputs[name] if node.INPUT_IS_LIST and isinstance(inputs[name], list) else [inputs[name]]
        for value in values:
            problem = problem_with(declaration, value, in_range=name not in own)
            if problem is not None:
                raise SettingError(f"{name} {problem}")
