"""One place that says whether the values of a node's inputs are legal, for the runner and for ComfyUI alike."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.errors import UserError
from .sockets import Declaration

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def declared_inputs(node: type) -> dict[str, Declaration]:
    """Every input of a node class by name, with its type and options. Combos of ComfyUI's old form become COMBO."""
    groups: Mapping[str, Mapping[str, Any]] = node.INPUT_TYPES()  # type: ignore[attr-defined]
    declared: dict[str, Declaration] = {}
    for group in ("required", "optional"):
        for name, declaration in groups.get(group, {}).items():
            declared[name] = (declaration[0], declaration[1] if len(declaration) > 1 else {})
    return declared


def widget_values(node: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of values by the names of inputs, those of the node's widgets."""
    kinds = {name: declaration[0] for name, declaration in declared_inputs(node).items()}
    return {name: values[name] for name, kind in kinds.items() if kind in WIDGETS and name in values}


def required_inputs(node: type) -> frozenset[str]:
    return frozenset(node.INPUT_TYPES().get("required", {}))  # type: ignore[attr-defined]


def checked_by_itself(node: type) -> frozenset[str]:
    """The inputs that VALIDATE_INPUTS names: as in ComfyUI, their ranges and choices are its own business."""
    validate = getattr(node, "VALIDATE_INPUTS", None)
    return frozenset(inspect.signature(validate).parameters) if validate is not None else frozenset()


def verdict(make: Callable[[], object]) -> bool | str:
    """What VALIDATE_INPUTS returns: True, or the sentence with which `make` refuses."""
    try:
        make()
    except UserError as error:
        return str(error)
    return True


def unknown_input(node: type, name: str) -> str:
    """The sentence for an input that `node` does not have."""
    return f"{name!r} is not an input of {node.__name__}{suggestion(name, declared_inputs(node))}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest of `known`, or the whole short list, or nothing."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(repr(by_lower[match]) for match in near) + "?"
    if 0 < len(names) <= 30:
        return "; it takes " + ", ".join(names)
    return ""


def problem_with(declaration: Declaration, value: object, in_range: bool = True) -> str | None:
    """What is wrong with `value` as a widget's value, or None; without `in_range` only its type is looked at."""
    kind, options = declaration
    problem = _wrong_type(kind, value)
    if problem is not None or not in_range:
        return problem
    if kind == "COMBO":
        allowed = options.get("options", [])
        return None if value in allowed else f"is {value!r}, expected one of {', '.join(map(repr, allowed))}"
    return _out_of_range(value, options) if kind in ("INT", "FLOAT") else None


def _wrong_type(kind: str, value: object) -> str | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and _is_finite(value)
    if kind == "INT":
        # ComfyUI turns 100.9 into 100 in silence; a whole float such as 100.0 is the same number.
        return None if number and float(value).is_integer() else _describe_expected("an INT", value)  # type: ignore[arg-type]
    if kind == "FLOAT":
        return None if number else _describe_expected("a finite FLOAT", value)
    if kind == "STRING":
        return None if isinstance(value, str) else _describe_expected("a STRING", value)
    if kind == "BOOLEAN":
        return None if isinstance(value, bool) else _describe_expected("true or false", value)
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON's whole numbers may be longer than any float
        return False


def _describe_expected(what: str, value: object) -> str:
    return f"is {value!r}, expected {what}"


def _out_of_range(value: Any, options: Mapping[str, Any]) -> str | None:
    low, high = options.get("min"), options.get("max")
    if low is not None and value < low:
        return f"is {value!r}, expected at least {low}"
    if high is not None and value > high:
        return f"is {value!r}, expected at most {high}"
    return None
