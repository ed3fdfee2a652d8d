"""Token routing of a network that is told which tokens run through its middle blocks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..train.denoiser import RoutedBlocks
from ..train.token_routing import KeptTokens, routed_blocks


class RoutesMiddleBlocks:
    """For a denoiser whose `module` has `blocks`, each token `patch_side` cells wide and high: its `predict` gives the
    network `_kept`, the tokens that run through the middle blocks; None for all."""

    module: Any
    patch_side: int
    _kept: KeptTokens | None = None

    def routed_blocks(self) -> RoutedBlocks:
        """All but the first and the last."""
        depth = len(self.module.blocks)
        return RoutedBlocks((1, self.patch_side, self.patch_side), *routed_blocks(depth), depth)

    @contextmanager
    def route(self, kept: KeptTokens) -> Generator[None]:
        """Inside, `predict` runs the middle blocks on the kept tokens alone."""
        self._kept = kept if kept.skips else None
        try:
            yield
        finally:
            self._kept = None
