"""How the base model is kept: what is the model as it is, and what is another run."""

from __future__ import annotations

from maskloss.core.frozen.config import BaseConfig, BasePrecision


def test_the_default_is_the_model_as_it_is() -> None:
    assert not BaseConfig().holds_weights
    assert BaseConfig().identity == ""


def test_another_precision_is_another_model() -> None:
    assert BaseConfig(BasePrecision.INT8).holds_weights
    assert BaseConfig(BasePrecision.INT8).identity == "-int8"
