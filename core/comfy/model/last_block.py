"""The last block of a transformer, for the picture's tokens that count: their queries, MLP and backward pass alone.

The block runs twice with ComfyUI's own code. First with all tokens, as far as its first attention, which gives keys and
values; layers that make only queries are skipped. Then with the tokens that count, which attend to those keys and
values. The other tokens leave the block as they entered it; what the network makes of them means nothing. Or they run
through it as well, but without a graph.

Shapes: B batch, S tokens of the block's sequence, N of the picture, R that count, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from ..backward.attention import OVERRIDE
from .block_calls import BlockCall, last_block_call
from .token_layout import TokenLayout, token_layout

# A transformer option: the `TokenRows` of a forward pass, which reach a checkpointed block again with its arguments.
ROWS = "maskloss_rows"
_OPTIONS = "transformer_options"
# What other nodes put into a model may look at tokens by their place.
FOREIGN = ("patches", "patches_replace", "reference_image_num_tokens")
# Of all tokens; with more that count there is nothing to gain.
_MOST_KEPT = 0.9
_Named = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Which of a picture's tokens count, int64, ascending; `others` run without a graph; `cells` are along (T,h,w)."""

    layout: TokenLayout
    cells: tuple[int, ...]
    rows_BR: torch.Tensor
    others_BQ: torch.Tensor | None

    def of(self, samples: torch.Tensor) -> TokenRows:
        """Those of some samples, by their indices."""
        others = None if self.others_BQ is None else self.others_BQ[samples]
        return TokenRows(self.layout, self.cells, self.rows_BR[samples], others)


@dataclass(frozen=True, eq=False)
class _Keys:
    """What the first attention of the block was given besides the queries."""

    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None

    def detach(self) -> _Keys:
        return _Keys(self.key.detach(), self.value.detach(), self.mask)


# Not an error: it ends the block's first run, past every handler of errors.
class _Reached(BaseException):
    def __init__(self, keys: _Keys) -> None:
        super().__init__()
        self.keys = keys


class LastBlock:
    """A network's last block. It is as it was when `install` ends; without `ROWS` it runs as always."""

    def __init__(self, block: nn.Module, call: BlockCall, layout: TokenLayout) -> None:
        self.block, self._call, self._layout = block, call, layout
        self._names = call.names or tuple(inspect.signature(type(block).forward).parameters)[1:]

    @contextmanager
    def install(self) -> Generator[None]:
        """Replace the block's forward; restored on exit."""
        before = self.block.__dict__.get("forward")
        self.block.forward = self._wrap(self.block.forward)
        try:
            yield
        finally:
            self.block.__dict__.pop("forward", None)
            if before is not None:
                self.block.forward = before

    def rows(self, cells_B1Thw: torch.Tensor, others: bool, device: torch.device) -> TokenRows | None:
        """The tokens of the cells that are not 0, as many of every sample; None where that is nearly all of them."""
        keep_BN = self._layout.most(cells_B1Thw != 0) > 0
        if self._call.shared:
            keep_BN = keep_BN.any(0, keepdim=True).expand_as(keep_BN)
        most = max(1, int(keep_BN.sum(1).max()))
        if most > _MOST_KEPT * keep_BN.shape[1]:
            return None
        order_BN = torch.argsort((~keep_BN).byte(), dim=1, stable=True)
        rows, rest = (part.sort(dim=1).values.to(device) for part in (order_BN[:, :most], order_BN[:, most:]))
        return TokenRows(self._layout, tuple(cells_B1Thw.shape[2:]), rows, rest if others else None)

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            named = {**dict(zip(self._names, args, strict=False)), **kwargs}
            rows: TokenRows | None = (named.get(_OPTIONS) or {}).get(ROWS)
            cut = None if rows is None else self._cut(named, rows)
            if rows is None or cut is None:
                return original(*args, **kwargs)
            keys = self._keys(original, named)
            tokens = cut.tokens.detach()
            if rows.others_BQ is not None:
                with torch.no_grad():
                    rest = self._attend(original, cut, keys.detach(), rows.others_BQ)
                tokens = _put(tokens, rest, cut.places(rows.others_BQ))
            return cut.result(_put(tokens, self._attend(original, cut, keys, rows.rows_BR), cut.places(rows.rows_BR)))

        return forward

    def _keys(self, original: Callable[..., Any], named: _Named) -> _Keys:
        """What all tokens offer to the block's first attention."""

        def stop(_backend: Any, _query: Any, key: torch.Tensor, value: torch.Tensor, *rest: Any, **options: Any) -> Any:
            raise _Reached(_Keys(key, value, options.get("mask", rest[1] if len(rest) > 1 else None)))

        with _idle(self.block, self._call.queries):
            try:
                original(**{**named, _OPTIONS: {**named[_OPTIONS], OVERRIDE: stop}})
            except _Reached as reached:
                return reached.keys
        raise RuntimeError(f"{type(self.block).__name__} attends to nothing")

    def _attend(self, original: Callable[..., Any], cut: _Cut, keys: _Keys, rows_BR: torch.Tensor) -> torch.Tensor:
        """(B,R,D): what the block makes of these tokens of the picture."""
        inner, first = cut.named[_OPTIONS][OVERRIDE], True
        mask = None if keys.mask is None else _take_queries(keys.mask, cut.queries(rows_BR))

        def attention(backend: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
            nonlocal first
            if not first:
                return inner(backend, query, key, value, *rest, **options)
            first = False
            return inner(backend, query, keys.key, keys.value, *rest[:1], *rest[2:], **{**options, "mask": mask})

        with _idle(self.block, self._call.keys):
            result = original(**cut.arguments(rows_BR, attention))
        picture = result[self._call.result] if isinstance(result, tuple) else result
        return cast("torch.Tensor", picture).flatten(1, -2)

    def _cut(self, named: _Named, rows: TokenRows) -> _Cut | None:
        """How to give the block fewer tokens; None where its arguments are not those that are known."""
        call, options = self._call, named[_OPTIONS]
        if any(options.get(name) for name in FOREIGN) or OVERRIDE not in options:
            return None
        if any(named.get(name) is not None for name in call.single):
            return None
        if any(value.ndim == axes and value.shape[1] != 1 for value, axes in _uniform(call, named)):
            return None
        given: torch.Tensor = named[call.picture]
        tokens = given.flatten(1, -2)
        padded, count = self._layout.padded_count(rows.cells), tokens.shape[1]
        start = self._layout.start(count, rows.cells) if call.joint else 0
        if start < 0 or (not call.joint and count != padded):
            return None
        if call.joint and options.get("img_slice", [start, count]) != [start, count]:
            return None
        return _Cut(call, named, tokens, start, self._layout.picture_first)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A call of the block. `tokens` (B,S,D) hold the picture's from `start` on. Of the text's own stream, which nothing
    is made of any more, one token is left, for not every layer can be given none."""

    call: BlockCall
    named: _Named
    tokens: torch.Tensor
    start: int
    picture_first: bool

    def places(self, rows_BR: torch.Tensor) -> torch.Tensor:
        """Where these tokens of the picture stand in the sequence."""
        return rows_BR + self.start

    def queries(self, rows_BR: torch.Tensor) -> torch.Tensor:
        """Where those that are left stand among the block's first attention's queries."""
        if not self.call.text:
            return self.places(rows_BR)
        picture, text = self.tokens.shape[1], self.named[self.call.text].shape[1]
        first = rows_BR.new_full((len(rows_BR), 1), picture if self.picture_first else 0)
        return torch.cat([rows_BR, first] if self.picture_first else [first, rows_BR + text], 1)

    def arguments(self, rows_BR: torch.Tensor, attention: Callable[..., Any]) -> _Named:
        """The block's arguments with these tokens of the picture alone."""
        call, given = self.call, self.named[self.call.picture]
        tokens = _take(self.tokens, self.places(rows_BR), 1)
        between = [1] * (given.ndim - tokens.ndim)
        changed: _Named = {
            call.picture: tokens.reshape(len(tokens), *between, *tokens.shape[1:]),
            _OPTIONS: {**self.named[_OPTIONS], OVERRIDE: attention},
            **{name: None for name in call.masks if name in self.named},
        }
        count = self.tokens.shape[1]
        if call.text:
            changed[call.text] = self.named[call.text][:, :1]
            count += self.named[call.text].shape[1] if call.over_text else 0
        where = self.queries(rows_BR) if call.over_text else rows_BR
        for name in call.positions:
            changed[name] = _take_positions(self.named.get(name), where, count)
        return {**self.named, **changed}

    def result(self, tokens: torch.Tensor) -> Any:
        """What the block returns, `tokens` being the picture's (and its text's, in a joint sequence)."""
        picture = tokens.reshape(*self.named[self.call.picture].shape[:-1], -1)
        if not self.call.text:
            return picture
        text = self.named[self.call.text]
        return (picture, text) if self.call.result == 0 else (text, picture)


def find_last_block(network: nn.Module) -> LastBlock | None:
    """The last block of a ComfyUI network; None where it is not known how it is called."""
    layout, found = token_layout(network), last_block_call(network)
    return None if layout is None or found is None else LastBlock(*found, layout)


def _uniform(call: BlockCall, named: _Named) -> Iterator[tuple[torch.Tensor, int]]:
    return ((named[name], axes) for name, axes in call.uniform if torch.is_tensor(named.get(name)))


@contextmanager
def _idle(block: nn.Module, names: Sequence[str]) -> Generator[None]:
    """These layers of the block, where it has them, run on a single token, with their adapters, and give zeros."""
    hooks: list[Any] = []
    layers = dict(block.named_modules())
    try:
        for layer in (layers[name] for name in names if name in layers):
            tokens: list[int] = []
            hooks.append(layer.register_forward_pre_hook(partial(_leave_one, tokens)))
            hooks.append(layer.register_forward_hook(partial(_fill_with_zeros, tokens)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _leave_one(tokens: list[int], _layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    tokens[:] = [arguments[0].shape[1]]
    return (arguments[0][:, :1], *arguments[1:])


def _fill_with_zeros(
    tokens: list[int], _layer: nn.Module, _arguments: tuple[torch.Tensor, ...], output: torch.Tensor
) -> torch.Tensor:
    return output.new_zeros(()).expand(output.shape[0], *tokens, *output.shape[2:])


def _take(values: torch.Tensor, index_BR: torch.Tensor, axis: int) -> torch.Tensor:
    """Of `values`, whose first axis is the batch's or 1, these along `axis`, other ones for each sample."""
    if len(index_BR) == 1:
        return values.index_select(axis, index_BR[0])
    values = values.expand(len(index_BR), *values.shape[1:]).movedim(axis, 1)
    index = index_BR.reshape(*index_BR.shape, *(1 for _ in values.shape[2:])).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index).movedim(1, axis)


def _take_positions(values: Any, index_BR: torch.Tensor, count: int) -> Any:
    """Of rotary values those of the given ones of `count` tokens, whichever their axis is."""
    if isinstance(values, (tuple, list)):
        return type(values)(_take_positions(each, index_BR, count) for each in cast("Sequence[Any]", values))
    if not torch.is_tensor(values):
        return values
    axis = next(axis for axis in (1, 2, 0) if axis < values.ndim and values.shape[axis] == count)
    return values.index_select(0, index_BR[0]) if axis == 0 else _take(values, index_BR, axis)


def _take_queries(mask: torch.Tensor, index_BR: torch.Tensor) -> torch.Tensor:
    """Of an attention mask (…, queries, keys) the rows of these queries."""
    if mask.shape[-2] == 1:
        return mask
    mask = mask.reshape(*(1 for _ in range(4 - mask.ndim)), *mask.shape) if mask.ndim != 3 else mask[:, None]
    return _take(mask, index_BR, 2)


def _put(tokens: torch.Tensor, part: torch.Tensor, index_BR: torch.Tensor) -> torch.Tensor:
    """`tokens` (B,S,D) with `part` (B,R,D) in these places."""
    return tokens.to(part.dtype).scatter(1, index_BR[..., None].expand(-1, -1, part.shape[-1]), part)
