"""Photographs handed to other packs' nodes, and the masks that come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.errors import DatasetError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset_config import MaskLossLoadDatasetConfig
from maskloss.nodes.dataset_exchange import (
    MaskLossDatasetExport,
    MaskLossDatasetItems,
    MaskLossDatasetSetCaptions,
    MaskLossDatasetSetMasks,
)


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


def test_captions_come_back_by_name_from_nodes_and_as_typed(host: LocalHost) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        names = [item.name for item in dataset.items]
        set_captions = MaskLossDatasetSetCaptions()
        listed = set_captions.run(dataset=[dataset], names=names[:2], captions=["one\nline", "two"])["result"][0]
        assert [item.caption for item in listed.items] == ["one\nline", "two", "", ""]
        single = set_captions.run(dataset=[dataset], names=names[:1], captions=["one\nline"])["result"][0]
        assert single.items[0].caption == "one\nline"
        typed = {
            "names": ["\n".join(names[2:])],
            "captions": ["three\nfour"],
            "trigger": ["ohwx"],
            "class_noun": ["man"],
        }
        changed, report = set_captions.run(dataset=[listed], write_sidecars=[True], **typed)["result"]
    told = ["ohwx man, one\nline", "ohwx man, two", "ohwx man, three", "ohwx man, four"]
    assert [item.caption for item in changed.items] == told
    assert json.loads(report)["counts"] == {"items": 4, "set": 4, "unchanged": 0, "written": 4}
    texts = [host.folders().input / path for path in ("ann/a.txt", "ann/b.txt", "bob/a.txt", "bob/c.txt")]
    assert [path.read_text() for path in texts] == [f"{caption}\n" for caption in told]


def test_a_trigger_alone_needs_no_names_in_a_prompt(host: LocalHost) -> None:
    prompt = {
        "load": {"class_type": "MaskLossLoadDatasetConfig", "inputs": {"path": "set.toml"}},
        "set": {
            "class_type": "MaskLossDatasetSetCaptions",
            "inputs": {"dataset": ["load", 0], "names": "", "captions": "", "trigger": "ohwx"},
        },
    }
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    assert {row["caption"] for row in json.loads(results["set"].ui["text"][0])["items"]} == {"ohwx"}
    assert not list(host.folders().input.rglob("*.txt"))


def test_a_dataset_is_exported_and_each_time_into_a_new_folder(host: LocalHost) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        file, report = MaskLossDatasetExport().run(dataset=dataset, trainer="onetrainer", output_directory="theirs")[
            "result"
        ]
        again = MaskLossDatasetExport().run(dataset=dataset, trainer="onetrainer", output_directory="theirs")["result"]
        own = MaskLossDatasetExport().run(dataset=dataset, trainer="musubi-tuner")["result"]
    output = host.folders().output
    assert Path(file) == output / "theirs/concepts.json"
    assert Path(again[0]) == output / "theirs_002/concepts.json"
    assert Path(own[0]).is_relative_to(output / "maskloss/export")
    assert json.loads(report)["counts"]["items"] == len(dataset.items)
