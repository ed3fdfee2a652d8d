"""Each person comes equally often, and the items with everyone have their share."""

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.masks.balance import balance_repeats, share_out


def test_everybody_comes_as_often_as_whoever_comes_most() -> None:
    repeats, joint = balance_repeats({"a": [1] * 10, "b": [1, 1, 1], "c": [2, 1]}, [], 0.0)
    assert {name: sum(own) for name, own in repeats.items()} == {"a": 10, "b": 10, "c": 10}
    assert repeats["a"] == [1] * 10
    assert sorted(repeats["b"]) == [3, 3, 4]
    assert repeats["c"][0] > repeats["c"][1]
    assert joint == []


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_items_with_everyone_have_their_share_of_an_epoch(share: float) -> None:
    repeats, joint = balance_repeats({"a": [1] * 10, "b": [1] * 7}, [1] * 4, share)
    own = sum(map(sum, repeats.values()))
    assert sum(joint) / (own + sum(joint)) == pytest.approx(share, rel=0.03)
    assert min(joint) >= 1
    assert len({sum(each) for each in repeats.values()}) == 1


def test_what_does_not_divide_goes_round() -> None:
    assert share_out([1, 1, 1], 5) == [2, 2, 1]
    assert share_out([], 5) == []
    assert share_out([100, 1], 10) == [9, 1]


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_is_a_fraction(share: float) -> None:
    with pytest.raises(SettingError, match="together is"):
        balance_repeats({}, [], share)
