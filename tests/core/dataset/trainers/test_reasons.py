"""Reasons by the names that they are for."""

from maskloss.core.dataset.trainers.reasons import all_of


def test_one_reason_for_several_names() -> None:
    assert all_of("a  b", "why") == {"a": "why", "b": "why"}
