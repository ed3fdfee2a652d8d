"""What each rank of a training runs of its prompt: rank 0 all of it, the others only what they train with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.cache.store import LatentCache, open_cache
from ..core.errors import ItemsFailedError, PromptError, UserError
from ..core.warning import collect_warnings
from .prompt import Link, Prompt, PromptNode, Registry, checked_order
from .runner import Outputs

TRAINING_NODE = "MaskLossTrainLora"
# Only rank 0 draws and scores pictures: the others need no autoencoder, no text encoder and no faces for it.
_OF_RANK_0 = frozenset(("sampling",))
Caches = Mapping[Link, tuple[str, str]]
"""The directory and the fingerprint of the cache that an output of a node is."""


def until_training(prompt: Prompt, registry: Registry) -> Prompt:
    """The training node and what leads to it. PromptError where there is not exactly one."""
    order = checked_order(prompt, registry)
    found = [node for node in order if node.class_type == TRAINING_NODE]
    if len(found) != 1:
        raise PromptError(
            f"the prompt has {len(found)} training nodes ({TRAINING_NODE}); maskloss train needs one: "
            + ("run each in a prompt of its own" if found else "use maskloss run for other work")
        )
    needed = {found[0].id}
    for node in reversed(order):
        if node.id in needed:
            needed.update(source for source, _ in node.links().values())
    return {node.id: node for node in order if node.id in needed}


def training_node(prompt: Prompt) -> PromptNode:
    """The one of a prompt as `until_training` gives it."""
    (node,) = (node for node in prompt.values() if node.class_type == TRAINING_NODE)
    return node


class FoundCaches:
    """A Watcher that keeps the caches which the training node of rank 0 is given."""

    def __init__(self, training: PromptNode) -> None:
        self._links = frozenset(training.links().values())
        self._caches: dict[Link, LatentCache] = {}

    def finished(self, node: PromptNode, outputs: Outputs) -> None:
        for number, values in enumerate(outputs):
            if (node.id, number) in self._links and len(values) == 1 and isinstance(values[0], LatentCache):
                self._caches[node.id, number] = values[0]

    def failed(self, node: PromptNode, error: ItemsFailedError) -> None:
        return None

    def places(self) -> Caches:
        return {link: (str(cache.directory.absolute()), cache.fingerprint) for link, cache in self._caches.items()}


def prompt_of_others(needed: Prompt, registry: Registry, caches: Caches) -> Prompt:
    """What a rank other than 0 runs of `needed`, as `until_training` gave it. Where it finds the very caches of rank 0
    at the same place it opens them, and whatever made them is left out."""
    training = training_node(needed)
    inputs = {name: value for name, value in training.inputs.items() if name not in _OF_RANK_0}
    opened: Prompt = {}
    for name, link in training.links().items():
        if link in caches and name in inputs and _is_there(*caches[link]):
            node = PromptNode(f"{training.id}.{name}", "MaskLossLoadCache", {"cache_directory": caches[link][0]})
            opened[node.id] = node
            inputs[name] = [node.id, 0]
    own = PromptNode(training.id, training.class_type, inputs)
    return until_training({**needed, **opened, own.id: own}, registry)


def _is_there(directory: str, fingerprint: str) -> bool:
    try:
        # The node that opens it says what there is to say.
        with collect_warnings(lambda _: None):
            return open_cache(Path(directory)).fingerprint == fingerprint
    except UserError:
        return False
