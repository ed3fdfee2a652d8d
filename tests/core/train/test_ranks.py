"""Several processes train the LoRA that one trains: real gloo ranks on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.mask_weights import MaskLossSettings, Normalization, PriorTeacher
from maskloss.core.train import run
from maskloss.core.train.config import LoraConfig
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.metrics import LossPoint
from maskloss.core.train.optimizer_step import count_numbers
from maskloss.core.train.ranks import ALONE, ProcessRanks
from maskloss.core.train.run import RunFiles
from maskloss.core.train.state import load_state

from .conftest import MakeCache, MemoryCache, cache_maker
from .rank_runs import EVEN, Case, die, in_ranks
from .runs import SIZE, Watcher, half

CASES = {
    "plain": Case(),
    "unmasked": Case(settings=None),
    "batch normalisation": Case(MaskLossSettings(normalization=Normalization.BATCH)),
    "no normalisation": Case(MaskLossSettings(normalization=Normalization.NONE)),
    "area": Case(MaskLossSettings(area_beta=0.5)),
    "probability": Case(MaskLossSettings(probability=0.5)),
    "prior": Case(MaskLossSettings(prior_weight=0.7, prior_threshold=0.1, prior_exclusive=True)),
    "ema teacher": Case(MaskLossSettings(prior_weight=0.7, prior_teacher=PriorTeacher.EMA, prior_ema_decay=0.5)),
    "output preservation": Case(MaskLossSettings(dop_weight=0.5, trigger="photo", class_noun="picture")),
    "caption dropout": Case(config={"caption_dropout": 0.5}),
    "ema": Case(optimizer=replace(EVEN, ema_decay=0.5)),
    "clipped": Case(optimizer=replace(EVEN, max_grad_norm=1e-3)),
    "dropout": Case(lora=LoraConfig(rank=2, alpha=4.0, dropout=0.3)),
    "uneven batches": Case(config={"batch_size": 2, "gradient_accumulation_steps": 4}),
    "validation": Case(validates=True),
    "routed": Case(config={"background_tokens": 0.5}),
}


def all_cases(ranks: ProcessRanks, directory: Path, cache: Any) -> dict[str, Any]:
    found = {}
    for name, case in CASES.items():
        before = ranks.sent_bytes
        result = case.run(cache, directory / name, ranks)
        points = [(*told_of(point), point.people) for point in result.points]
        found[name] = (dict(result.lora), points, ranks.sent_bytes - before, list(result.validation))
    return found


def told_of(point: LossPoint) -> tuple[float | None, ...]:
    return point.loss, point.inside, point.outside, point.coverage


FIVE = Case(config={"steps": 5})


def interrupted(ranks: ProcessRanks, directory: Path, cache: Any, name: str) -> None:
    FIVE.run(cache, directory / name, ranks, Watcher(stop_after=2))


def whole(ranks: ProcessRanks, directory: Path, cache: Any, name: str) -> dict[str, torch.Tensor]:
    return dict(FIVE.run(cache, directory / name, ranks).lora)


def one_fails(ranks: ProcessRanks, directory: Path, cache: Any) -> None:
    # Three micro-batches of six to a rank: the eighth is in the third step.
    FIVE.run(cache, directory / "fails", ranks, Watcher(stop_at_check=8 if ranks.rank == 1 else None))


class Dies(Watcher):
    """Is killed at its `stop_at_check`-th micro-batch."""

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._stop_at_check:
            die()


def one_dies(ranks: ProcessRanks, directory: Path, cache: Any) -> None:
    FIVE.run(cache, directory / "dies", ranks, Dies(stop_at_check=8 if ranks.rank == 1 else None))


def other_data(ranks: ProcessRanks, directory: Path, first: Any, second: Any) -> None:
    Case().run(second if ranks.rank else first, directory / "other", ranks)


def other_versions(ranks: ProcessRanks, directory: Path, cache: Any) -> None:
    """As where one machine has older installations."""
    with pytest.MonkeyPatch.context() as patch:
        if ranks.rank:
            patch.setattr(run, "source_digest", lambda: "0ther")
            patch.setattr(torch, "__version__", "1.0")
        Case().run(cache, directory / "versions", ranks)


def too_many(ranks: ProcessRanks, directory: Path, cache: Any) -> None:
    Case(config={"gradient_accumulation_steps": 2}).run(cache, directory / "few", ranks)


def first(ranks: ProcessRanks, directory: Path) -> str:
    return ranks.from_first(lambda: f"from {ranks.rank}")


def any_of(ranks: ProcessRanks, directory: Path) -> list[bool]:
    return [ranks.any(own) for own in (ranks.rank == 0, ranks.rank == 1, False)]


def first_fails(ranks: ProcessRanks, directory: Path) -> None:
    def compute() -> None:
        raise ValueError("no such thing")

    ranks.from_first(compute)


def no_gradient(ranks: ProcessRanks, directory: Path) -> Any:
    dtypes = (torch.float32, torch.bfloat16, torch.float32)
    one, two, three = (torch.nn.Parameter(torch.zeros(2, dtype=dtype)) for dtype in dtypes)
    one.grad = torch.tensor([1.0, 2.0 + ranks.rank])
    if ranks.rank:
        two.grad = torch.tensor([4.0, 0.5], dtype=torch.bfloat16)
    ranks.sum_gradients([one, two, three])
    return one.grad, two.grad, three.grad


@pytest.fixture
def album(make_cache: MakeCache) -> MemoryCache:
    """Two latent shapes, a tier, an empty mask and none at all: batches are uneven and of unequal weight."""
    return album_of(make_cache)


def album_of(make_cache: MakeCache) -> MemoryCache:
    """The first two items are one person's, the fourth and fifth another's."""
    tiers, empty = half(), torch.zeros_like(half())
    tiers[..., 0] = 0.5
    wide = (8, 4)
    cache = make_cache(
        [("a", SIZE, half()), ("b", SIZE, tiers), ("c", SIZE, None), ("d", SIZE, empty), ("e", wide, half(wide))]
    )
    people = ("ana", "ana", "", "eva", "eva")
    entries = (replace(entry, subject=name) for entry, name in zip(cache.entries, people, strict=True))
    return replace(cache, entries=tuple(entries))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def two(directory: Path) -> list[dict[str, Any]]:
    """Everything that two ranks do here, in two processes."""
    make = cache_maker(directory)
    album, other = album_of(make), make([("a", SIZE, half()), ("b", SIZE, None), ("x", SIZE, None)])
    return in_ranks(
        2,
        {
            "all": (all_cases, (album,)),
            "interrupted": (interrupted, (album, "stopped")),
            "interrupted later": (interrupted, (album, "stopped_too")),
            "one fails": (one_fails, (album,)),
            "other data": (other_data, (album, other)),
            "other versions": (other_versions, (album,)),
            "first": (first, ()),
            "any": (any_of, ()),
            "first fails": (first_fails, ()),
            "no gradient": (no_gradient, ()),
            "one dies": (one_dies, (album,)),
        },
        directory,
    )


@pytest.fixture(scope="module")
def three(two: list[dict[str, Any]], directory: Path) -> list[dict[str, Any]]:
    """Everything that three do, and what two left goes on."""
    make = cache_maker(directory)
    album, few = album_of(make), make([("a", SIZE, half()), ("b", SIZE, None)])
    (directory / "three").mkdir()
    works = {
        "all": (all_cases, (album,)),
        "few": (too_many, (few,)),
        "goes on": (whole, (album, "../stopped_too")),
    }
    return in_ranks(3, works, directory / "three")


def assert_equal(lora: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], name: str = "") -> None:
    assert lora.keys() == expected.keys()
    for key, value in expected.items():
        change = float((lora[key] - value).norm() / value.norm().clamp(min=1e-12))
        assert change <= 1e-6, (name, key, change)


@pytest.mark.parametrize("size", ["two", "three"])
@pytest.mark.parametrize("name", CASES)
def test_the_lora_is_that_of_one_process(
    album: MemoryCache, tmp_path: Path, request: pytest.FixtureRequest, size: str, name: str
) -> None:
    answers = [answer["all"][name] for answer in request.getfixturevalue(size)]
    alone = CASES[name].run(album, tmp_path / "alone")
    lora, points, _, validation = answers[0]
    assert all(torch.equal(each[0][key], lora[key]) for each in answers[1:] for key in lora)
    assert_equal(lora, alone.lora, name)
    for told, point in zip(points, alone.points, strict=True):
        assert told[:-1] == pytest.approx(told_of(point), rel=1e-5)
        assert told[-1] == pytest.approx(point.people, rel=1e-5)
    assert [step for step, _ in validation] == [step for step, _ in alone.validation]


def test_only_gradients_and_a_few_numbers_travel(two: list[dict[str, Any]]) -> None:
    lora, points, sent, _ = two[0]["all"]["plain"]
    gradients = 4 * sum(value.numel() for key, value in lora.items() if "alpha" not in key)
    numbers = 8 * (1 + count_numbers(("ana", "eva")))
    # The numbers once more at the end, when the ranks wait for one another.
    assert sent == len(points) * (gradients + numbers) + numbers
    assert numbers == 8 * (1 + 12 + 4)
    assert {name for *_, people in points for name in people} == {"ana", "eva"}


def test_one_process_goes_on_with_what_two_began(
    two: list[dict[str, Any]], album: MemoryCache, directory: Path, tmp_path: Path
) -> None:
    assert two[0]["interrupted"].startswith("Stop")
    assert "Rank 0 stopped: Stop" in two[1]["interrupted"]
    assert_equal(FIVE.run(album, directory / "stopped").lora, FIVE.run(album, tmp_path / "alone").lora)


def test_three_go_on_with_what_two_began(three: list[dict[str, Any]], album: MemoryCache, tmp_path: Path) -> None:
    assert_equal(three[0]["goes on"], FIVE.run(album, tmp_path / "alone").lora)


@pytest.mark.parametrize(
    ("work", "name", "told"),
    [("one dies", "dies", "Another rank is gone"), ("one fails", "fails", "Rank 1 stopped: Stop")],
)
def test_a_rank_that_ends_leaves_a_lora_and_a_state(
    two: list[dict[str, Any]], album: MemoryCache, directory: Path, tmp_path: Path, work: str, name: str, told: str
) -> None:
    assert told in two[0][work]
    files = RunFiles(directory / name)
    assert load_lora(files.lora).keys() == load_lora(directory / "plain.safetensors").keys()
    assert load_state(files.state).step == 2
    assert_equal(FIVE.run(album, files.output).lora, FIVE.run(album, tmp_path / "whole").lora)


def test_machines_with_other_data_are_refused(two: list[dict[str, Any]], directory: Path) -> None:
    for answer in two:
        assert answer["other data"].startswith("TrainingError: The ranks would not train the same: cache:")
        assert "at rank 0" in answer["other data"]
        assert "at rank 1" in answer["other data"]
    assert not RunFiles(directory / "other").state.exists()


def test_machines_with_other_versions_are_refused(two: list[dict[str, Any]], directory: Path) -> None:
    for answer in two:
        told = answer["other versions"]
        assert f"code of this pack: {run.source_digest()} at rank 0, 0ther at rank 1" in told
        assert f"version of torch: {torch.__version__} at rank 0, 1.0 at rank 1" in told
    assert not RunFiles(directory / "versions").state.exists()


def test_ranks_without_items_are_refused(three: list[dict[str, Any]]) -> None:
    for answer in three:
        assert answer["few"].startswith("TrainingError: 3 devices would share 2 cached items")


def test_what_the_first_rank_finds_is_everywhere(two: list[dict[str, Any]]) -> None:
    assert [answer["first"] for answer in two] == ["from 0", "from 0"]
    failed = [answer["first fails"] for answer in two]
    assert failed == ["ValueError: no such thing", "OtherRankError: Rank 0 stopped: ValueError: no such thing"]


def test_what_is_so_in_any_rank_is_known_in_all(two: list[dict[str, Any]]) -> None:
    assert [answer["any"] for answer in two] == [[True, True, False]] * 2
    assert [ALONE.any(own) for own in (True, False)] == [True, False]


def test_gradients_of_some_ranks_only(two: list[dict[str, Any]]) -> None:
    for answer in two:
        one, second, third = answer["no gradient"]
        assert one.tolist() == [2.0, 5.0]
        assert second.tolist() == [4.0, 0.5]
        assert second.dtype == torch.bfloat16
        assert third is None
