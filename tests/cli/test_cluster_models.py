"""What goes to another process: models by the node that makes them, ledgers by their folder."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.cluster_models import ModelPlace, ModelPlaces, unpickled
from maskloss.core.errors import ModelMissingError
from maskloss.core.masks.ledger import Ledger, open_ledger


class Model:
    """As large as models are, and not to be pickled."""

    def __init__(self, identity: str) -> None:
        self.identity = identity

    def __reduce__(self) -> str:
        raise AssertionError("a model was pickled")


@dataclass
class Work:
    models: tuple[Model, ...]
    ledgers: tuple[Ledger, ...]
    array: np.ndarray


def test_models_are_looked_up_and_ledgers_opened_once(tmp_path: Path) -> None:
    places, first, second = ModelPlaces(), Model("one"), Model("two")
    places.note("7", ("STRING", "VAE"), [["a text"], [first, second]])
    with open_ledger(tmp_path, "BuildMasks") as ledger:
        ledger.begin("a", "f" * 64)
        content = places.pickled(Work((second, first), (ledger, ledger), np.arange(3)))
        asked: list[ModelPlace] = []

        def model(place: ModelPlace) -> Model:
            asked.append(place)
            return Model(place.identity)

        with ExitStack() as opened:
            work = unpickled(content, model, opened)
            assert [each.identity for each in work.models] == ["two", "one"]
            assert asked == [ModelPlace("7", 1, 1, "two"), ModelPlace("7", 1, 0, "one")]
            assert work.ledgers[0] is work.ledgers[1] is not ledger
            work.ledgers[0].begin("b", "f" * 64)
            assert work.ledgers[0].record("a") is not None
    with open_ledger(tmp_path, "BuildMasks") as again:
        assert again.record("b") is not None


def test_another_model_is_refused(tmp_path: Path) -> None:
    places, model = ModelPlaces(), Model("one")
    places.note("7", ("VAE",), [[model]])
    content = places.pickled(model)
    with ExitStack() as opened, pytest.raises(ModelMissingError, match="The model of node 7 is other here, and one"):
        unpickled(content, lambda place: Model("other"), opened)
