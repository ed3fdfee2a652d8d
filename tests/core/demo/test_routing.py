"""Token routing of a small network."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.train.token_routing import RoutingSettings, choose_tokens


def test_routing_ends_with_its_context_after_an_error_too() -> None:
    denoiser = DemoDenoiser()
    where = denoiser.routed_blocks()
    weights = torch.zeros(1, 1, 1, 8, 8)
    kept = choose_tokens(weights, where.patch, RoutingSettings(0.25), [0])
    assert kept.skips
    seen: list[object] = []

    def fail() -> None:
        with denoiser.route(kept):
            seen.append(denoiser._kept)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [kept]
    assert denoiser._kept is None


def test_tokens_that_all_run_are_no_routing() -> None:
    denoiser = DemoDenoiser()
    kept = choose_tokens(torch.ones(1, 1, 1, 8, 8), denoiser.routed_blocks().patch, RoutingSettings(0.25), [0])
    with denoiser.route(kept):
        assert denoiser._kept is None
