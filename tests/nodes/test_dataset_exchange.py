"""Photographs handed to other packs' nodes, and the masks that come back."""

from __future__ import annotations

import json

import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.errors import DatasetError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset import MaskLossLoadDatasetConfig
from maskloss.nodes.dataset_exchange import MaskLossDatasetItems, MaskLossDatasetSetMasks


def test_any_nodes_work_becomes_the_masks(host: LocalHost) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        images, masks, names = MaskLossDatasetItems().run(dataset=dataset, offset=2)
        assert [tuple(image.shape) for image in images] == [(1, 20, 30, 3)] * 2
        assert all(bool((mask == 1).all()) for mask in masks)
        changed, report = MaskLossDatasetSetMasks().run(
            dataset=[dataset], names=names, masks=[mask / 2 for mask in masks], output_directory=[""]
        )["result"]
    assert json.loads(report)["counts"]["written"] == 2
    written = [item.mask_path for item in changed.items if item.mask_path is not None]
    base = host.folders().output / "maskloss/set_masks"
    assert [path.relative_to(base).parts[1:] for path in written] == [("bob", "a.png"), ("c.png",)]


def test_items_and_masks_meet_as_lists_in_a_prompt(host: LocalHost) -> None:
    prompt = {
        "load": {"class_type": "MaskLossLoadDatasetConfig", "inputs": {"path": "set.toml"}},
        "items": {"class_type": "MaskLossDatasetItems", "inputs": {"dataset": ["load", 0], "limit": 3}},
        "instance": {
            "class_type": "MaskLossApplyInstanceMask",
            "inputs": {"weights": ["items", 1], "instance": ["items", 1]},
        },
        "set": {
            "class_type": "MaskLossDatasetSetMasks",
            "inputs": {
                "dataset": ["load", 0],
                "names": ["items", 2],
                "masks": ["instance", 0],
                "output_directory": "masks",
            },
        },
    }
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    report = json.loads(results["set"].ui["text"][0])
    assert [(row["name"], row["state"]) for row in report["items"]] == [
        ("ann/a", "written"), ("b", "written"), ("bob/a", "written"),
    ]  # fmt: skip


def test_only_so_many_are_handed_out_and_masks_of_nothing_are_refused(host: LocalHost) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        images, masks, names = MaskLossDatasetItems().run(dataset=dataset, offset=1, limit=2)
        assert (len(images), len(masks), names) == (2, 2, [dataset.items[1].name, dataset.items[2].name])
        given = {"dataset": [dataset], "output_directory": ["masks"]}
        with pytest.raises(DatasetError, match="nobody"):
            MaskLossDatasetSetMasks().run(names=["nobody"], masks=masks[:1], **given)
        with pytest.raises(DatasetError, match=r"2 names.*1 mask|1 mask.*2 names"):
            MaskLossDatasetSetMasks().run(names=names, masks=masks[:1], **given)
        # One per line, as people type them.
        changed, _ = MaskLossDatasetSetMasks().run(names=["\n".join(names)], masks=masks, **given)["result"]
    assert [item.mask_path is not None for item in changed.items] == [False, True, True, False]
