"""What nodes showed comes back by workflow and node, the newest of each."""

from __future__ import annotations

from maskloss.core.host.results import UNNAMED, KeptResults


def test_the_newest_result_of_each_node_comes_back() -> None:
    kept = KeptResults()
    kept.keep("w", "first", "1", "A", {"said": ["old"]})
    kept.keep("w", "first", "2:3", "B", {"said": ["inner"], "images": [{"filename": "a"}]})
    kept.keep("w", "second", "1", "A", {"said": ["new"]})
    kept.keep("other", "third", "1", "A", {"said": ["another's"]})
    assert kept.of("w") == {
        "nodes": {"2:3": {"said": ["inner"], "images": [{"filename": "a"}]}, "1": {"said": ["new"]}},
        "classes": {"2:3": "B", "1": "A"},
    }
    assert kept.of("none") == {"nodes": {}, "classes": {}}


def test_of_a_graph_that_nobody_saved_what_runs_comes_back() -> None:
    kept = KeptResults()
    kept.keep(UNNAMED, "earlier", "1", "A", {"said": ["another graph's"]})
    kept.keep(UNNAMED, "now", "2", "B", {"said": ["of this run"]})
    kept.keep("w", "earlier", "3", "C", {"said": ["saved"]})
    for unknown in (UNNAMED, "given after a reload"):
        assert kept.of(unknown, {"now"}) == {"nodes": {"2": {"said": ["of this run"]}}, "classes": {"2": "B"}}
        assert kept.of(unknown)["nodes"] == {}
    assert kept.of("w", {"now"})["nodes"] == {"3": {"said": ["saved"]}}


def test_a_node_that_runs_over_a_list_adds_to_its_lists() -> None:
    kept = KeptResults()
    for text in ("a", "b"):
        kept.keep("w", "one prompt", "1", "A", {"said": [text]})
    assert kept.of("w")["nodes"] == {"1": {"said": ["a", "b"]}}


def test_no_more_than_so_many_are_kept() -> None:
    kept = KeptResults(most=2)
    for workflow in "abc":
        kept.keep(workflow, "p", "1", "A", {"said": []})
    assert [bool(kept.of(each)["nodes"]) for each in "abc"] == [False, True, True]
