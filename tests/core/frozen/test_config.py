"""How the base model is kept: what is the model as it is, and what is another run."""

from __future__ import annotations

import pytest
from maskloss.core.errors import SettingError, TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision


def test_the_default_is_the_model_as_it_is() -> None:
    assert not BaseConfig().holds_weights
    assert BaseConfig().identity == ""


def test_another_precision_is_another_model() -> None:
    assert BaseConfig(BasePrecision.INT8).holds_weights
    assert BaseConfig(BasePrecision.INT8).identity == "-int8"


def test_blocks_in_main_memory_are_spread_evenly_and_are_the_same_model() -> None:
    config = BaseConfig(blocks_in_main_memory=4)
    assert config.holds_weights
    assert config.identity == ""
    assert config.swapped(40, "WAN") == (5, 15, 25, 35)
    for total in (1, 2, 7, 57):
        for count in range(total + 1):
            chosen = BaseConfig(blocks_in_main_memory=count).swapped(total, "it")
            assert len(set(chosen)) == count
            assert all(0 <= block < total for block in chosen)


def test_more_blocks_than_there_are_and_fewer_than_none_are_refused() -> None:
    with pytest.raises(TrainingError, match="blocks_in_main_memory is 50, but WAN21 has 40 repeated blocks; set it to"):
        BaseConfig(blocks_in_main_memory=50).swapped(40, "WAN21")
    with pytest.raises(SettingError, match="found -1"):
        BaseConfig(blocks_in_main_memory=-1)
