"""Token routing in the leakage experiment: all tokens give the plain training, and fewer go where they should."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.train.loop import train
from maskloss.core.train.routed_window import routing_settings
from maskloss.core.train.token_routing import Drawing, RoutingSettings

from benchmarks.leakage.base import BaseConfig, load_base
from benchmarks.leakage.contenders import CONTENDERS, Contender
from benchmarks.leakage.experiment import Laboratory, Setup
from benchmarks.leakage.network import WorldTransformer
from benchmarks.leakage.routing import relative_cost, train_routed

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = BaseConfig(width=32, depth=4, heads=2, steps=3, batch=4)
SHORT = Setup(steps=6, batch=2, rank=2, sampler_steps=2)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
ALL = RoutingSettings(1.0)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    directory: Path = tmp_path_factory.mktemp("leakage")
    return Laboratory(load_base(TINY, directory, lambda _: None), TINY.identity, SHORT)


def apart(first, second) -> float:
    """The largest difference, relative to the largest value."""
    assert first.keys() == second.keys()
    scale = max(float(value.abs().max()) for key, value in first.items() if "lora_up" in key)
    return max(float((first[key] - second[key]).abs().max()) for key in first if "lora_up" in key) / scale


@pytest.mark.parametrize("floor", ["tiers", "tiers, floor 0.05"])
def test_with_all_tokens_it_is_the_packs_own_training(laboratory: Laboratory, floor: str) -> None:
    plain = laboratory.train(BY_NAME[floor], 1)
    routed = replace(BY_NAME[floor], name="all", routing=ALL)
    assert apart(plain, laboratory.train(routed, 1)) < 1e-2
    assert apart(plain, laboratory.train(replace(routed, routing=RoutingSettings(0.1, 0)), 1)) > 2e-2


@pytest.mark.parametrize("name", ["tiers", "tiers, floor 0.05"])
def test_sample_by_sample_it_is_the_packs_own_routing_to_the_last_bit(laboratory: Laboratory, name: str) -> None:
    """In the pack's batches all samples keep equally many tokens, so that these are of one."""
    alone = Laboratory(laboratory.denoiser.module, TINY.identity, replace(SHORT, batch=1))
    recipe = alone.recipe(BY_NAME[name], 1)
    settings = recipe.settings
    routing = routing_settings(settings, replace(recipe.config, background_tokens=0.1))
    ours = train_routed(alone.denoiser, recipe, routing)
    recipe = replace(recipe, config=replace(recipe.config, background_tokens=0.1))
    with tempfile.TemporaryDirectory() as directory:
        theirs = dict(train(alone.denoiser, recipe, Path(directory) / "lora").lora)
    assert apart(ours, theirs) == 0
    assert apart(ours, alone.train(BY_NAME[name], 1)) > 1e-3


@pytest.mark.parametrize("drawing", list(Drawing))
def test_a_routed_training_is_the_same_again(laboratory: Laboratory, drawing: Drawing) -> None:
    contender = BY_NAME[f"routed 0.1, {drawing.value}"]
    assert apart(laboratory.train(contender, 2), laboratory.train(contender, 2)) == 0


def network() -> WorldTransformer:
    generator = torch.Generator().manual_seed(0)
    made = WorldTransformer(32, 32, 4, 2)
    for parameter in made.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return made


def inputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    latents, words = (torch.randn(shape, generator=generator) for shape in ((2, 12, 1, 16, 16), (2, 7, 64)))
    return latents, torch.tensor([0.3, 0.8]), words


def test_all_tokens_in_order_change_nothing_in_the_network() -> None:
    everything = torch.arange(64).expand(2, -1)
    assert torch.allclose(network()(*inputs()), network()(*inputs(), everything), atol=1e-6)
    assert not torch.allclose(network()(*inputs()), network()(*inputs(), everything[:, ::2]), atol=1e-3)


def test_skipped_tokens_take_no_part_in_the_middle_blocks_and_words_do() -> None:
    made, seen = network(), []
    for block in made.blocks:
        block.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    kept_BK = torch.tensor([[3, 9, 40], [0, 1, 63]])
    made(*inputs(), kept_BK)
    assert [each.shape[1] for each in seen] == [71, 10, 10, 71]
    for row in range(2):
        assert torch.equal(seen[3][row, 7:][kept_BK[row]] == seen[1][row, 7:], torch.zeros(3, 32, dtype=torch.bool))
    skipped = [index for index in range(64) if index not in (3, 9, 40)]
    plain: list[torch.Tensor] = []
    made.blocks[0].register_forward_hook(lambda *each: plain.append(each[2]))
    made(*inputs(), kept_BK)
    assert torch.equal(seen[3][0, 7:][skipped], plain[0][0, 7:][skipped])


def test_cost_counts_tokens_through_blocks(laboratory: Laboratory) -> None:
    recipe = SHORT.recipe(BY_NAME["tiers"], 0)
    costs = [relative_cost(laboratory.denoiser, recipe, RoutingSettings(part, 0)) for part in (1, 0.5, 0.25, 0.1)]
    assert costs[0] == 1
    assert costs == sorted(costs, reverse=True)
    # Two of four blocks are routed; kept tokens are hers and a tenth of the others.
    assert 0.5 + 0.5 * 7 / 71 < costs[-1] < 0.8
    assert relative_cost(laboratory.denoiser, recipe, RoutingSettings(0.1, 2)) > costs[-1]


def test_at_equal_cost_steps_grow_as_their_cost_falls(laboratory: Laboratory) -> None:
    contender: Contender = BY_NAME["routed 0.1, scattered"]
    equal = BY_NAME["routed 0.1, scattered, equal cost"]
    recipe = laboratory.recipe(equal, 0)
    cost = relative_cost(laboratory.denoiser, SHORT.recipe(contender, 0), contender.routing)
    assert recipe.config.steps == round(SHORT.steps / cost) > SHORT.steps
    assert laboratory.recipe(BY_NAME["tiers, the steps of routed 0.1"], 0).config.steps == recipe.config.steps
    assert laboratory.recipe(contender, 0).config.steps == SHORT.steps
