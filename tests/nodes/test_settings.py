from __future__ import annotations

import math

import maskloss
import pytest
from maskloss.nodes.checks import declared_inputs
from maskloss.nodes.settings import MaskLossOptimizer, MaskLossSettings
from maskloss.nodes.sockets import Declaration

NODES = maskloss.NODE_CLASS_MAPPINGS
FLOATS = [
    (node, name, declaration)
    for node, kind in NODES.items()
    for name, declaration in declared_inputs(kind).items()
    if declaration[0] == "FLOAT"
]


def as_typed(declaration: Declaration, value: float) -> float:
    """What ComfyUI's front end makes of a typed number: rounded to the decimals of `step`, then into the range."""
    options = declaration[1]
    decimals = max(0, -math.floor(math.log10(options["step"])))
    return min(max(round(value, decimals), options["min"]), options["max"])


@pytest.mark.parametrize(("node", "name", "declaration"), FLOATS, ids=[f"{node}.{name}" for node, name, _ in FLOATS])
def test_defaults_and_bounds_can_be_typed(node: str, name: str, declaration: Declaration) -> None:
    for key in ("default", "min", "max"):
        assert as_typed(declaration, declaration[1][key]) == declaration[1][key]


@pytest.mark.parametrize(
    ("node", "name", "values"),
    [
        ("MaskLossOptimizer", "learning_rate", (1e-4, 5e-6, 1.5e-5, 1e-6, 5e-7)),
        ("MaskLossOptimizer", "weight_decay", (1e-4, 0.05)),
        ("MaskLossOptimizer", "max_grad_norm", (0.05, 0.25)),
        ("MaskLossOptimizer", "ema_decay", (0.9995, 0.9999, 0.99995)),
        ("MaskLossSettings", "min_weight", (0.005, 0.1)),
        ("MaskLossSettings", "huber_delta", (0.005, 0.25)),
        ("MaskLossSettings", "area_beta", (0.25,)),
        ("MaskLossSettings", "prior_weight", (0.05, 0.25)),
        ("MaskLossLoraConfig", "alpha", (0.25, 0.5, 1)),
        ("MaskLossTrainLora", "timestep_min", (0.005, 0.25)),
    ],
)
def test_usual_values_are_not_rounded_away(node: str, name: str, values: tuple[float, ...]) -> None:
    declaration = declared_inputs(NODES[node])[name]
    assert [as_typed(declaration, value) for value in values] == list(values)


def test_one_wrong_value_is_not_reported_at_every_input() -> None:
    """ComfyUI puts the sentence of VALIDATE_INPUTS at each input that it names."""
    assert MaskLossSettings.VALIDATE_INPUTS(blur=4) != True  # noqa: E712 - a sentence is truthy
    assert MaskLossSettings.VALIDATE_INPUTS(gamma=0.7, min_weight=None, blur=3) is True
    assert set(MaskLossSettings.VALIDATE_INPUTS.__annotations__) == {"gamma", "min_weight", "blur", "return"}


@pytest.mark.parametrize("name", ["lion", "prodigy", "schedule_free_adamw", "came", "muon"])
def test_the_optimizer_node_checks_arguments_of_every_optimizer(name: str) -> None:
    assert MaskLossOptimizer.VALIDATE_INPUTS(name=name, optimizer_args="") is True
    assert "does not know" in str(MaskLossOptimizer.VALIDATE_INPUTS(name=name, optimizer_args="speed=1"))
    assert MaskLossOptimizer().run(name=name, learning_rate=1.0)[0].name.value == name


def test_an_unknown_optimizer_is_said_without_arguments_too() -> None:
    for name in ("x", True):
        assert f"name is {name!r}, expected one of 'adamw'" in str(MaskLossOptimizer.VALIDATE_INPUTS(name=name))
    assert MaskLossOptimizer.VALIDATE_INPUTS() is True
    assert MaskLossOptimizer.VALIDATE_INPUTS(name="adamw") is True
