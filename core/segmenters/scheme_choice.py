"""Which class table a model speaks: by its own names where it has them, else by the number of its classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..errors import UserError
from ..parts.part_map import SCHEMES, PartScheme

FACE_ONLY = frozenset({"celebamask_19_bisenet", "celebamask_19_segformer"})
"""Schemes of parsers that know the head alone; what they call background may be the person's body."""

_OURS = frozenset({"maskloss_4"})  # made here, never by a model of the user's
_PLACEHOLDER = re.compile(r"label_?\d+|\d+", re.IGNORECASE)


def scheme_for(model: str, names: Sequence[str], class_count: int) -> PartScheme:
    """The scheme of a model with these class names (empty, or placeholders such as LABEL_3, when it has none).

    Names count without case and punctuation. Raises UserError when the names fit no table, or when there are none and
    the number of classes fits no table or several.
    """
    candidates = [scheme for scheme in SCHEMES.values() if scheme.id not in _OURS]
    if names and not all(_PLACEHOLDER.fullmatch(name.strip()) for name in names):
        plain = _plain(names)
        for scheme in candidates:
            if _plain(scheme.names) == plain:
                return scheme
        raise UserError(
            f"{model} names its {len(names)} classes {', '.join(names)}, which is none of the class tables known here "
            f"({_join(candidates)}): choose a model of one of these, or connect its masks to the face, hair and body "
            "inputs of Weighted Mask."
        )
    fitting = [scheme for scheme in candidates if len(scheme.names) == class_count]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(
            f"{model} has {class_count} classes without names, and {_join(fitting)} all have as many: write "
            'the class names into "id2label" of its config.json.'
        )
    raise UserError(
        f"{model} has {class_count} classes without names, which fits none of the class tables known here "
        f"({_join(candidates)}): choose a model of one of these."
    )


def _plain(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(re.sub(r"[^a-z0-9]", "", name.lower()) for name in names)


def _join(schemes: Iterable[PartScheme]) -> str:
    return ", ".join(f"{scheme.id} with {len(scheme.names)}" for scheme in schemes)
