"""Makes parameters that were loaded in inference mode usable in a backward pass, without a second copy."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import nn

from ..errors import TrainingError
from .tensors import is_plain


class DifferentiableParameters:
    """A context in which a module's inference tensors are replaced by normal tensors over the same memory.

    Nodes run in inference mode, and autograd refuses to save tensors made there. On exit the module holds its original
    objects again. Enter it with inference mode off. Quantised weights of layers for which `recasts` is true are left
    alone, because autograd saves none of them. TrainingError for any other tensor without plain memory.
    """

    def __init__(self, module: nn.Module, recasts: Callable[[nn.Module], bool]) -> None:
        self._module = module
        self._recasts = recasts
        self._replaced: list[tuple[dict[str, torch.Tensor | None], str, torch.Tensor]] = []

    def __enter__(self) -> DifferentiableParameters:
        aliases: dict[int, torch.Tensor] = {}
        try:
            for path, owner in self._module.named_modules():
                for table in (vars(owner)["_parameters"], vars(owner)["_buffers"]):
                    for name, tensor in table.items():
                        if tensor is not None and tensor.is_inference() and not self._is_exempt(owner, tensor):
                            alias = aliases.get(id(tensor))
                            if alias is None:
                                alias = aliases[id(tensor)] = _make_alias(tensor, f"{path}.{name}")
                            self._replaced.append((table, name, tensor))
                            table[name] = alias
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @contextmanager
    def suspend(self) -> Generator[None]:
        """Put the module's own tensors back, so that its owner may move them; replaced again on exit."""
        self._restore()
        try:
            yield
        finally:
            self.__enter__()

    def _restore(self) -> None:
        while self._replaced:
            table, name, tensor = self._replaced.pop()
            table[name] = tensor

    def _is_exempt(self, owner: nn.Module, tensor: torch.Tensor) -> bool:
        return self._recasts(owner) and not is_plain(tensor)


def _make_alias(tensor: torch.Tensor, name: str) -> torch.Tensor:
    if not is_plain(tensor) or tensor.layout is not torch.strided:
        raise TrainingError(
            f"{name} is stored as {type(tensor.data).__name__}, a quantised format that cannot be trained on yet; load "
            "the model in bf16, fp16, fp32 or plain fp8."
        )
    alias = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    alias.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
    return nn.Parameter(alias, requires_grad=False) if isinstance(tensor, nn.Parameter) else alias
