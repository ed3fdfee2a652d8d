"""A worker does of each step what one process would have done, byte for byte; Ray is not needed for it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from maskloss.cli.cluster import SPREAD_NODES
from maskloss.cli.cluster_models import ModelPlaces
from maskloss.cli.cluster_worker import Clock, Job, Worker, versions_here
from maskloss.cli.prompt import PromptNode, parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import Outputs, run_prompt
from maskloss.core.cache.store import open_cache
from maskloss.core.errors import ItemsFailedError, PromptError
from maskloss.core.host import LocalHost
from one_worker import OneWorker
from PIL import Image

from benchmarks.cluster import digests, place_photographs, poisoned, prompt_for
from tests.helpers.given_masks import GIVEN, place_given


class Watcher:
    def __init__(self) -> None:
        self.models = ModelPlaces()
        self.reasons: dict[str, str] = {}

    def finished(self, node: PromptNode, outputs: Outputs) -> None:
        self.models.note(node.id, REGISTRY[node.class_type].RETURN_TYPES, outputs)

    def failed(self, node: PromptNode, error: ItemsFailedError) -> None:
        self.reasons.update(error.reasons)


def job_of(root: Path, prompt: dict[str, Any]) -> Job:
    (root / "mark").touch()
    return Job(parse_prompt(prompt), root, root / "out", root / "mark", versions_here())


def run_spread(root: Path, prompt: dict[str, Any], restarts: frozenset[int] = frozenset()) -> tuple[OneWorker, Watcher]:
    watcher = Watcher()
    job = job_of(root, prompt)
    spread = OneWorker(job, watcher.models, restarts)
    run_prompt(job.prompt, REGISTRY, LocalHost(root, root / "out", spread=spread), quiet=True, watcher=watcher)
    return spread, watcher


def run_here(root: Path, prompt: dict[str, Any]) -> None:
    run_prompt(parse_prompt(prompt), REGISTRY, LocalHost(root, root / "out"), quiet=True)


def taken_away(root: Path) -> dict[str, str]:
    """What is in the output, which is empty afterwards."""
    found = digests(root / "out")
    (root / "out").rename(root / f"out {len(list(root.iterdir()))}")
    return found


@pytest.fixture
def given(tmp_path: Path) -> Path:
    place_given(tmp_path)
    return tmp_path


def test_the_steps_write_what_one_process_writes(given: Path) -> None:
    run_here(given, GIVEN)
    expected = taken_away(given)
    spread, _ = run_spread(given, GIVEN)
    assert digests(given / "out") == expected
    merged, latents, text = spread.sent
    assert merged == [("p0",), ("p1",), ("p2",), ("p3",), ("p4",)]
    assert sorted(latents) == [("p0", "p1"), ("p2",), ("p3", "p4")]  # batches of one bucket
    assert len(text) == 3


def test_unchanged_items_are_sent_nowhere(given: Path) -> None:
    run_here(given, GIVEN)
    before = digests(given / "out")
    Image.new("L", (40, 40), 77).save(given / "masks/p1.png")
    (given / "set/p4.txt").write_text("another caption")
    spread, _ = run_spread(given, GIVEN)
    assert spread.sent[0] == [("p1",), ("p4",)]
    assert spread.sent[1] == [("p1",)]  # a caption is no part of an entry
    assert spread.sent[2] == [("another caption",)]
    assert digests(given / "out") != before
    spread, _ = run_spread(given, GIVEN)
    assert spread.sent == [[], [], []]


def test_a_worker_that_is_another_one_in_the_middle_changes_nothing(given: Path) -> None:
    run_here(given, GIVEN)
    expected = taken_away(given)
    run_spread(given, GIVEN, restarts=frozenset({2, 3, 6, 9}))
    found = digests(given / "out")
    # This process lives, so that the journals of what it has left are not taken for a dead one's.
    assert {path: digest for path, digest in found.items() if not path.endswith(".journal")} == expected


def test_a_poisoned_photograph_is_left_out_and_the_rest_goes_on(given: Path) -> None:
    whole = (given / "set/p2.png").read_bytes()
    for name in ("p2.png", "p2.txt"):
        (given / "set" / name).rename(given / name)
    run_here(given, GIVEN)
    expected = taken_away(given)
    (given / "set/p2.png").write_bytes(poisoned(whole))
    _, watcher = run_spread(given, GIVEN)
    assert list(watcher.reasons) == ["p2"]
    assert str(given / "set/p2.png") in watcher.reasons["p2"]
    assert digests(given / "out") == expected
    assert [entry.name for entry in open_cache(given / "out/cache").entries] == ["p0", "p1", "p3", "p4"]


def test_where_every_photograph_is_poisoned_it_is_an_error(given: Path) -> None:
    for path in (given / "set").glob("*.png"):
        path.write_bytes(poisoned(path.read_bytes()))
    with pytest.raises(PromptError, match=r"node merge .*: 5 items could not be worked on"):
        run_spread(given, GIVEN)


def test_a_worker_of_another_version_or_without_the_folder_says_so(given: Path) -> None:
    job = job_of(given, GIVEN)
    assert Worker(job).ready().problem == ""
    other = replace(job, versions={**job.versions, "torch": "1.0"})
    assert "has another version of torch" in Worker(other).ready().problem
    assert "and 1.0 where the work is given out" in Worker(other).ready().problem
    (given / "mark").unlink()
    assert f"does not see {given / 'mark'}" in Worker(job).ready().problem


def test_a_clock_that_is_apart_is_refused_with_both_times(given: Path) -> None:
    begun = time.time()
    clock = Worker(job_of(given, GIVEN)).ready().value
    assert clock.problem(begun, time.time()) == ""
    # As long as a worker takes to start nobody knows, and it is no fault of its clock.
    assert Clock("one", 1000.0).problem(0.0, 100_000.0) == ""
    assert Clock("one", 0.0).problem(3599.0, 9000.0) == Clock("one", 9000.0).problem(0.0, 5401.0) == ""
    slow, fast = Clock("one", 0.0).problem(4000.0, 86_400.0), Clock("one", 86_400.0).problem(0.0, 60.0)
    assert "clock of one says 1970-01-01 00:00 (UTC), and 1970-01-02 00:00 where the work is given out" in slow
    assert "clock of one says 1970-01-02 00:00 (UTC), and 1970-01-01 00:01 where the work is given out" in fast


@pytest.mark.models
def test_masks_and_the_one_person_are_the_same_bytes(tmp_path: Path) -> None:
    from maskloss.core.bundled.install import copy_demo_photographs

    copy_demo_photographs(tmp_path)
    place_photographs(tmp_path / "set", 4, seed=3, pixels=120_000)
    prompt = prompt_for("set")
    assert SPREAD_NODES - {"MaskLossKeepPeople"} <= {node["class_type"] for node in prompt.values()}
    run_here(tmp_path, prompt)
    expected = taken_away(tmp_path)
    spread, watcher = run_spread(tmp_path, prompt)
    assert [len(pieces) for pieces in spread.sent[:2]] == [4, 4]
    assert watcher.reasons == {}
    assert digests(tmp_path / "out") == expected
    assert json.loads((tmp_path / "out/maskloss_demo/masks/.maskloss_masks.json").read_text())["step"] == "BuildMasks"
