"""The frozen blocks sharded over the processes that train: the same LoRA, and as much memory as was counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.frozen.held_base import BaseLayer, HeldBase
from maskloss.core.frozen.sharded_blocks import ShardedBlocks
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.ranks import ProcessRanks
from maskloss.core.train.run import RunFiles
from maskloss.core.train.state import load_state

from .conftest import cache_maker
from .rank_runs import Case, in_ranks
from .runs import SIZE, Watcher, half

CPU = torch.device("cpu")
INT8 = BasePrecision.INT8
# Passes of which some have more in one rank than in the other: a teacher, a class, an evaluation by rank 0 alone.
CASES = {
    "plain": (Case(), BasePrecision.AS_LOADED),
    "int8": (Case(), INT8),
    "prior": (Case(MaskLossSettings(prior_weight=0.7, prior_threshold=0.1)), BasePrecision.AS_LOADED),
    "output preservation": (
        Case(MaskLossSettings(dop_weight=0.5, trigger="photo", class_noun="picture")),
        BasePrecision.AS_LOADED,
    ),
    "uneven": (Case(config={"gradient_accumulation_steps": 5}), BasePrecision.AS_LOADED),
    "validation": (Case(validates=True), BasePrecision.AS_LOADED),
    "checkpointed": (Case(config={"gradient_checkpointing": True}), BasePrecision.AS_LOADED),
    "routed": (Case(config={"background_tokens": 0.5}), INT8),
}


def all_cases(ranks: ProcessRanks, directory: Path, cache: Any) -> dict[str, Any]:
    """For each case the LoRA on the base that is sharded, and on the one that every rank has whole."""
    found: dict[str, Any] = {}
    for name, (case, precision) in CASES.items():
        loras: list[dict[str, torch.Tensor]] = []
        for peers in (ranks, None):
            with DemoDenoiser().held(BaseConfig(precision, peers=peers)) as denoiser:
                result = case.run(cache, directory / f"{name} {len(loras)}", ranks, denoiser=denoiser)
            loras.append(dict(result.lora))
        found[name] = loras
    assert ranks.joins == []
    return found


def compiled(ranks: ProcessRanks, directory: Path, cache: Any) -> tuple[float, str]:
    """How far the LoRA on sharded blocks that are compiled is from that on such that are not, and what was compiled."""
    case, loras, note = Case(config={"steps": 2, "gradient_checkpointing": True}), list[dict[str, torch.Tensor]](), ""
    for compiles in (False, True):
        with DemoDenoiser().held(BaseConfig(compile_blocks=compiles, peers=ranks)) as denoiser:
            loras.append(dict(case.run(cache, directory / f"compiled {compiles}", ranks, denoiser=denoiser).lora))
            note = denoiser.compiled_note
    plain, fused = loras
    return max(float((fused[key] - value).norm() / value.norm().clamp(min=1e-12)) for key, value in plain.items()), note


def one_fails(ranks: ProcessRanks, directory: Path, cache: Any) -> None:
    with DemoDenoiser().held(BaseConfig(peers=ranks)) as denoiser:
        watcher = Watcher(stop_at_check=8 if ranks.rank == 1 else None)
        Case(config={"steps": 5}).run(cache, directory / "fails", ranks, watcher, denoiser)


# Of several kinds and odd lengths, so that parts end within a tensor; one block is empty.
def blocks() -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    kinds = (torch.float32, torch.bfloat16, torch.int8)
    shapes = [(7, 13), (1,), (300, 5), (3, 2, 5), (257,)]
    made = [[torch.randn(shape, generator=generator).mul(50).to(kind) for kind in kinds] for shape in shapes]
    return [*made, [], [tensor for block in made for tensor in block]]


def brings(ranks: ProcessRanks, directory: Path) -> tuple[int, int, int]:
    kept = blocks()
    shared = ShardedBlocks(ranks, CPU)
    numbers = [shared.keep(block) for block in kept]
    orders = {0: [0, 1, 2, 3, 4, 5, 6, 0], 1: [6, 6, 2, 3], 2: []}
    for number in orders[ranks.rank]:
        for found, expected in zip(shared.bring(numbers[number]), kept[number], strict=True):
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)
    # Ends with all of them, or the others would wait for what this one has.
    assert ranks.from_first(lambda: ranks.rank) == 0
    whole = max(sum(tensor.nbytes for tensor in block) for block in kept)
    taken = shared.nbytes
    shared.close()
    assert shared.nbytes == 0
    return sum(tensor.nbytes for block in kept for tensor in block), whole, taken


def suspended(ranks: ProcessRanks, directory: Path) -> list[float]:
    """Rank 0 gives its model away between two passes, as for a sample picture, while the others are in theirs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(8, 8).requires_grad_(False) for _ in range(3)]
        value = torch.randn(2, 8)
    network = torch.nn.Sequential(*layers)
    expected = network(value)
    parts = [
        BaseLayer(str(number), layer, lambda _, layer=layer: (layer.weight, layer.bias), sharded=number)
        for number, layer in enumerate(layers)
    ]
    found: list[torch.Tensor] = []
    with HeldBase(parts, BaseConfig(peers=ranks), CPU) as base:
        for _ in range(2):
            found.append(network(value))
            if ranks.leads:
                with base.suspend():
                    assert base.nbytes == 0
                    found.append(network(value))
        ranks.from_first(lambda: None)
    return [float((each - expected).abs().max()) for each in found]


def taken(ranks: ProcessRanks, directory: Path) -> tuple[int, int, int]:
    """Of the demo's blocks: all, the largest, and what a rank says it takes."""
    network = DemoDenoiser()
    weights = [
        sum(layer.weight.nbytes for layer in block.modules() if isinstance(layer, torch.nn.Linear))
        for block in network.module.blocks
    ]
    shared: list[ShardedBlocks] = []
    with network.held(BaseConfig(peers=ranks)):
        shared += [join.__self__ for join in ranks.joins]
        (found,) = shared
        return sum(weights), max(weights), found.nbytes


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def album(directory: Path) -> Any:
    tiers, empty = half(), torch.zeros_like(half())
    tiers[..., 0] = 0.5
    items = [("a", SIZE, half()), ("b", SIZE, tiers), ("c", SIZE, None), ("d", SIZE, empty)]
    return cache_maker(directory)(items)


@pytest.fixture(scope="module")
def two(directory: Path, album: Any) -> list[dict[str, Any]]:
    works = {
        "all": (all_cases, (album,)),
        "brings": (brings, ()),
        "taken": (taken, ()),
        "suspended": (suspended, ()),
        "compiled": (compiled, (album,)),
        "one fails": (one_fails, (album,)),
    }
    return in_ranks(2, works, directory / "two")


@pytest.mark.parametrize("name", CASES)
def test_the_lora_is_that_of_ranks_with_the_whole_base(two: list[dict[str, Any]], name: str) -> None:
    for answer in two:
        assert isinstance(answer["all"], dict), answer["all"]
        sharded, whole = answer["all"][name]
        assert sharded.keys() == whole.keys()
        assert all(torch.equal(sharded[key], whole[key]) for key in whole)
        assert any(bool(value.any()) for key, value in whole.items() if key.endswith("lora_up.weight"))


def test_compiled_blocks_are_sharded_too(two: list[dict[str, Any]]) -> None:
    for answer in two:
        assert isinstance(answer["compiled"], tuple), answer["compiled"]
        change, note = answer["compiled"]
        assert change <= 1e-5
        assert "compiled so far" in note


def test_each_rank_brings_what_it_wants_when_it_wants(two: list[dict[str, Any]], directory: Path) -> None:
    for answer in two:
        assert isinstance(answer["brings"], tuple), answer["brings"]
    for answer in in_ranks(3, {"brings": (brings, ())}, directory / "three"):
        assert isinstance(answer["brings"], tuple), answer["brings"]
        everything, whole, taken = answer["brings"]
        # Parts are rounded up to whole kilobytes.
        assert everything / 3 + 2 * whole <= taken <= everything / 3 + 2 * whole + 16 * 1024


def test_a_rank_that_gives_its_model_away_is_waited_for(two: list[dict[str, Any]]) -> None:
    assert [answer["suspended"] for answer in two] == [[0.0] * 4, [0.0] * 2]


def test_memory_is_that_of_a_part_and_two_blocks(two: list[dict[str, Any]]) -> None:
    for answer in two:
        everything, largest, taken = answer["taken"]
        assert taken == pytest.approx(everything / 2 + 2 * largest, rel=0.01)


def test_a_rank_that_stops_in_the_middle_of_a_pass_stops_the_others(two: list[dict[str, Any]], directory: Path) -> None:
    assert two[1]["one fails"].startswith("Stop")
    assert "Rank 1 stopped: Stop" in two[0]["one fails"]
    files = RunFiles(directory / "two/fails")
    assert load_lora(files.lora)
    assert load_state(files.state).step == 2
