"""What nodes showed comes back by workflow and node, the newest of each."""

from __future__ import annotations

from maskloss.core.host.results import KeptResults


def test_the_newest_result_of_each_node_comes_back() -> None:
    kept = KeptResults()
    kept.keep("w", "first", "1", {"said": ["old"]})
    kept.keep("w", "first", "2:3", {"said": ["inner"], "images": [{"filename": "a"}]})
    kept.keep("w", "second", "1", {"said": ["new"]})
    kept.keep("other", "third", "1", {"said": ["another's"]})
    assert kept.of("w") == {
        "nodes": {"2:3": {"said": ["inner"], "images": [{"filename": "a"}]}, "1": {"said": ["new"]}}
    }
    assert kept.of("none") == {"nodes": {}}


def test_a_node_that_runs_over_a_list_adds_to_its_lists() -> None:
    kept = KeptResults()
    for text in ("a", "b"):
        kept.keep("w", "one prompt", "1", {"said": [text]})
    assert kept.of("w") == {"nodes": {"1": {"said": ["a", "b"]}}}


def test_no_more_than_so_many_are_kept() -> None:
    kept = KeptResults(most=2)
    for workflow in "abc":
        kept.keep(workflow, "p", "1", {"said": []})
    assert [bool(kept.of(each)["nodes"]) for each in "abc"] == [False, True, True]
