"""A node's dataset is opened for the viewer where a graph editor watches, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.core.viewer.viewed import VIEWED
from maskloss.nodes.viewing import viewed


class Watched(LocalHost):
    def running_node(self) -> tuple[str, str] | None:
        return "7", "prompt"


def test_it_is_found_by_its_id_where_somebody_watches(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    dataset = Dataset((DatasetItem("a", tmp_path / "a.png", LoadSettings()),))
    with use_host(LocalHost(tmp_path, tmp_path / "out")):
        assert viewed(dataset, "Build Masks") == []
    with use_host(Watched(tmp_path, tmp_path / "out")):
        (identifier,) = viewed(dataset, "Build Masks", [{"name": "a", "coverage": 0.5}])
    found = VIEWED.find(identifier)
    assert found is not None
    assert (found.title, found.items[0].coverage) == ("Build Masks", 0.5)
    assert found.store.directory == tmp_path / "out/maskloss/corrections"
