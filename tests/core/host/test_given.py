"""Which node warned of what, found again by what it was run on."""

from __future__ import annotations

from typing import Any

from maskloss.core.host.given import GivenWarning, GivenWarnings


def prompt(seed: int = 0) -> dict[str, Any]:
    return {
        "1": {"class_type": "Load", "inputs": {"seed": seed, "pair": [3, 4]}},
        "2": {"class_type": "Train", "inputs": {"cache": ["1", 0], "again": ["1", 1], "steps": 5}},
        "3": {"class_type": "Report", "inputs": {"loss": ["2", 1]}},
        "4": {"class_type": "Other", "inputs": {"cache": ["1", 0]}},
    }


def test_a_report_tells_those_of_the_nodes_before_it() -> None:
    given = GivenWarnings()
    given.keep(prompt(), "p", "1", ["bare"])
    given.keep(prompt(), "p", "2", ["masks do nothing", "low"])
    given.keep(prompt(), "p", "4", ["beside the road"])
    given.keep(prompt(), "p", "3", ["its own"])
    assert given.before(prompt(), "3") == [
        GivenWarning("1", "Load", "bare"),
        GivenWarning("2", "Train", "masks do nothing"),
        GivenWarning("2", "Train", "low"),
    ]


def test_another_workflow_with_the_same_ids_has_none_of_them_and_the_first_one_finds_its_own_again() -> None:
    given = GivenWarnings()
    given.keep(prompt(0), "p", "1", ["of seed 0"])
    assert given.before(prompt(1), "3") == []
    given.keep(prompt(1), "q", "1", ["of seed 1"])
    assert [one.text for one in given.before(prompt(0), "3")] == ["of seed 0"]
    assert [one.text for one in given.before(prompt(1), "3")] == ["of seed 1"]


def test_a_new_run_replaces_what_an_earlier_one_said_and_a_list_adds_to_it() -> None:
    given = GivenWarnings()
    given.keep(prompt(), "p", "2", ["first item"])
    given.keep(prompt(), "p", "2", ["second item"])
    assert [one.text for one in given.before(prompt(), "3")] == ["first item", "second item"]
    given.keep(prompt(), "q", "2", [])
    assert given.before(prompt(), "3") == []


def test_only_so_many_nodes_are_remembered() -> None:
    given = GivenWarnings(most=2)
    for seed in range(3):
        given.keep(prompt(seed), "p", "1", [f"seed {seed}"])
    assert [[one.text for one in given.before(prompt(seed), "3")] for seed in range(3)] == [[], ["seed 1"], ["seed 2"]]
