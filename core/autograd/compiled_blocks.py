"""The repeated blocks of a network compiled by `torch.compile`, each kind once, with the adapters inside of it.

Dynamo keeps what it compiled by code object and guards it by what it looked at. It does not look at hooks again, so
for a compiled call the hooks of a block's layers become part of their forward; and each kind of block has a copy of its
forward's code of its own, which goes with the run that it was made for. Nothing is left in the blocks, in Dynamo's
configuration, or in what others compile.

A block that runs as it is by exception, and blocks that cannot be compiled, are checkpointed where they would overwrite
what is saved for the backward pass, because compiled ones do not bear the context in which that is allowed.
"""

from __future__ import annotations

import importlib
import time
import types
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from ..warning import warn
from .checkpointing import extract_tensors, insert_tensors, run_checkpointed
from .out_of_place import write_out_of_place

# Of one kind of block: passes with and without a graph, of one sample and of several, of the base alone.
_MOST_GRAPHS = 16
_NOTHING = object()
Compiled = Callable[..., Any]
Compiler = Callable[[Any, list[Any]], Any]
# The class of a block, its structure, and what has been put into its layers.
_Key = tuple[type[nn.Module], Hashable, Hashable]


class CompiledBlocks:
    """The blocks, compiled while `active`. `prepare` gives the keyword arguments of a call as compiled code may see
    them, or None for a call that is to run as it is. `level`: calls that differ in which arguments need a gradient
    share code; not for blocks that PyTorch's own checkpointing runs again, which counts what is saved.

    `mutating` are the classes that may overwrite tensors saved for the backward pass. `graphs` and `seconds` count what
    has been compiled so far. A kind of block that cannot be compiled runs as it is, with a warning.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        prepare: Callable[[dict[str, Any]], dict[str, Any] | None] = dict,
        backend: str = "inductor",
        level: bool = True,
    ) -> None:
        # A forward that somebody has put into a block is not that of its kind.
        self.blocks = tuple(
            block
            for block in blocks
            if "forward" not in vars(block) and isinstance(type(block).forward, types.FunctionType)
        )
        self.mutating: set[type[nn.Module]] = set()
        self.active = False
        self.graphs, self.seconds = 0, 0.0
        self._prepare, self._backend, self._is_level = prepare, backend, level
        self._compiled: dict[_Key, Compiled | None] = {}
        # Which of the tensors that such a block takes need a gradient in some call.
        self._needed: dict[_Key, set[int]] = {}

    @property
    def note(self) -> str:
        """What has been compiled so far, in a sentence; "" for nothing."""
        if not self.graphs:
            return ""
        return f"compile_blocks: {self.graphs} pieces of code compiled so far, in {self.seconds:.0f} s."

    @contextmanager
    def install(self) -> Generator[None]:
        """Replace the blocks' forward; restored on exit, and what was compiled is given up."""
        try:
            for block in self.blocks:
                block.forward = self._wrap(block, _structure(block))
            yield
        finally:
            for block in self.blocks:
                block.__dict__.pop("forward", None)
            self._compiled.clear()
            self._needed.clear()

    @contextmanager
    def set_active(self, active: bool) -> Generator[None]:
        """Switch compilation on or off; restored on exit."""
        before, self.active = self.active, active
        try:
            yield
        finally:
            self.active = before

    def _wrap(self, block: nn.Module, structure: Hashable) -> Callable[..., Any]:
        original = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not self.active:
                return original(*args, **kwargs)
            named, layers = self._prepare(kwargs), _traced_layers(block)
            if named is None or layers is None:
                return self._run_plain(original, block, args, kwargs)
            key = type(block), structure, tuple(kind for _, _, kind in layers)
            compiled = self._compiled_for(key, block)
            if compiled is None:
                return self._run_plain(original, block, args, kwargs)
            given, named = self._level(key, args, named)
            try:
                with _in_place_of_forwards(layers), _settings():
                    result = compiled(block, *given, **named)
                return _no_views(result) if key[0] in self.mutating else result
            except _failures() as problem:
                self._compiled[key] = None
                warn(
                    f"compile_blocks: {type(block).__name__} runs uncompiled from here on, because it cannot be "
                    f"compiled ({_first_line(problem)})."
                )
                return self._run_plain(original, block, args, kwargs)

        return forward

    def _level(self, key: _Key, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, alike for all equal blocks: of the first block of a network the picture needs no gradient, of
        others it does, and each way would be compiled; and in one layout. Copies of what the block may write to."""
        tensors: list[torch.Tensor] = []
        template = extract_tensors((args, tuple(named.values())), tensors)
        needed = self._needed.setdefault(key, set())
        if torch.is_grad_enabled() and self._is_level:
            needed.update(index for index, tensor in enumerate(tensors) if tensor.requires_grad)
            tensors = [
                tensor if tensor.requires_grad or index not in needed else tensor.detach().requires_grad_(True)
                for index, tensor in enumerate(tensors)
            ]
        elif not torch.is_grad_enabled():
            tensors = [tensor.detach() for tensor in tensors]
        # A first block's picture often lies transposed in memory, as its embedding has left it.
        tensors = [tensor if 0 in tensor.stride() else tensor.contiguous() for tensor in tensors]
        tensors = [tensor.clone() for tensor in tensors] if key[0] in self.mutating else tensors
        given, values = insert_tensors(template, tensors)
        return given, dict(zip(named, values, strict=True))

    def _run_plain(
        self, original: Callable[..., Any], block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if torch.is_grad_enabled() and type(block) in self.mutating:
            return run_checkpointed(original, args, kwargs, True)
        return original(*args, **kwargs)

    def _compiled_for(self, key: _Key, block: nn.Module) -> Compiled | None:
        if key not in self._compiled:
            self._compiled[key] = torch.compile(_own_copy(type(block).forward), backend=self._compile)
        return self._compiled[key]

    def _compile(self, graph: Any, inputs: list[Any]) -> Any:
        """The backend, counted."""
        start = time.perf_counter()
        try:
            write_out_of_place(graph)
            done = _backend(self._backend)(graph, inputs)
            self.graphs += 1
            return done
        finally:
            self.seconds += time.perf_counter() - start


def _structure(block: nn.Module) -> Hashable:
    """What blocks of one class may differ in, as far as compiled code depends on it."""
    return tuple((name, tuple(value.shape), value.dtype) for name, value in block.named_parameters())


# A layer, what runs in place of its forward, and what kind of thing that is.
_Traced = tuple[nn.Module, Callable[..., Any] | None, Hashable]


def _traced_layers(block: nn.Module) -> list[_Traced] | None:
    """The block's layers that do not run by their class's forward alone; None where one cannot be compiled."""
    found: list[_Traced] = []
    for name, layer in block.named_modules():
        own = vars(layer)
        before, after = own["_forward_pre_hooks"], own["_forward_hooks"]
        inner = own.get("forward") if layer is not block else None
        if inner is not None:
            inner = getattr(inner, "traced", lambda: None)()
            if inner is None:
                return None
        if own["_forward_hooks_with_kwargs"] or own["_forward_pre_hooks_with_kwargs"]:
            return None
        hooks = (tuple(before.values()), tuple(after.values())) if layer is not block else ((), ())
        if inner is not None or any(hooks):
            kind = name, type(inner).__name__, len(hooks[0]), len(hooks[1])
            found.append((layer, _with_hooks(layer, inner, *hooks), kind))
    return found


def _with_hooks(
    layer: nn.Module,
    inner: Callable[..., Any] | None,
    before: Sequence[Callable[..., Any]],
    after: Sequence[Callable[..., Any]],
) -> Callable[..., Any]:
    # A function in any case, because Dynamo compares functions by their code, and other callables by their identity.
    run = inner or types.MethodType(type(layer).forward, layer)

    def forward(*args: Any, **kwargs: Any) -> Any:
        for hook in before:
            changed = hook(layer, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = run(*args, **kwargs)
        for hook in after:
            changed = hook(layer, args, result)
            if changed is not None:
                result = changed
        return result

    return forward


@contextmanager
def _in_place_of_forwards(layers: Sequence[_Traced]) -> Generator[None]:
    """The layers run by these, without their hooks, for a call of their block."""
    changed: list[tuple[dict[str, Any], Any, Any, Any]] = []
    try:
        for layer, forward, _ in layers:
            own: dict[str, Any] = vars(layer)
            changed.append((own, own.get("forward", _NOTHING), own["_forward_pre_hooks"], own["_forward_hooks"]))
            own["_forward_pre_hooks"], own["_forward_hooks"] = type(changed[-1][2])(), type(changed[-1][3])()
            own["forward"] = forward
        yield
    finally:
        for own, forward, before, after in changed:
            own["_forward_pre_hooks"], own["_forward_hooks"] = before, after
            own.pop("forward", None)
            if forward is not _NOTHING:
                own["forward"] = forward


def _own_copy(function: Any) -> Callable[..., Any]:
    """The function, with a code object of its own."""
    code = function.__code__.replace()
    copy = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _no_views(result: Any) -> Any:
    """What compiled code gives back as a view of an input that it has written to, in memory of its own: autograd
    does not let others see such views."""
    tensors: list[torch.Tensor] = []
    template = extract_tensors(result, tensors)
    return insert_tensors(template, [tensor.clone() if tensor._is_view() else tensor for tensor in tensors])


def _settings() -> AbstractContextManager[None]:
    """Dynamo's configuration for a call; restored on exit."""
    return _dynamo().config.patch(recompile_limit=_MOST_GRAPHS, fail_on_recompile_limit_hit=True)


def _backend(name: str) -> Compiler:
    return _dynamo().lookup_backend(name)


def _failures() -> tuple[type[Exception], ...]:
    """What says that a block cannot be compiled, in place of running it."""
    problems = _dynamo().exc
    return (problems.TorchDynamoException, problems.FailOnRecompileLimitHit)


def _dynamo() -> Any:
    # It takes seconds to import, and most runs do without.
    return importlib.import_module("torch._dynamo")


def _first_line(problem: BaseException) -> str:
    """What is wrong, without the report around it."""
    problem = getattr(problem, "inner_exception", problem)
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
