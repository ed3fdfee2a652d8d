"""The arguments of `maskloss cluster` arrive where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from maskloss.cli import cluster
from maskloss.cli.main import main


def test_every_argument_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(cluster, "run_on_cluster", lambda *arguments: given.extend(arguments))
    line = "cluster p.json --set 1.a=2 --input in --output out --base-directory b --address auto --workers 3 --gpus 0.5"
    assert main(line.split()) == 0
    assert given == [Path("p.json"), ["1.a=2"], Path("in"), Path("out"), Path("b"), "auto", 3, 0.5]
    given.clear()
    assert main(["cluster", "p.json"]) == 0
    assert given == [Path("p.json"), [], None, None, None, "local", 0, 0.0]
