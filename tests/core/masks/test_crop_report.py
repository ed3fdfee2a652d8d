"""What is said of crops: what each loses, and which are left out and why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem
from maskloss.core.masks.crop_dataset import CropRules
from maskloss.core.report.previews import dataset_sheet
from maskloss.core.warning import collect_warnings

from .crop_items import SIZE, cropped, tiers


def test_what_a_crop_loses_is_said(item: Callable[..., DatasetItem]) -> None:
    with collect_warnings(lambda _: None) as warnings:
        _, report = cropped(item(), rules=CropRules(whole=0, face=1, margin=0.0))
    (row,) = report["items"]
    left, top, width, height = row["rectangle"]
    assert row["weight_lost"] == pytest.approx(report["in_no_item"])
    seen = tiers()[top : top + height, left : left + width].sum() / tiers().sum()
    assert 0.5 < row["weight_lost"] == pytest.approx(1 - seen, abs=0.02)
    assert any("of the weight is trained on in no crop" in text for text in warnings.texts)
    assert any("1 face crops leave" in text and "(anna~face)" in text for text in report["messages"])
    _, report = cropped(item())
    assert report["in_no_item"] == 0


def test_crops_with_the_captions_of_whole_photographs_are_told(item: Callable[..., DatasetItem]) -> None:
    def told(**rules: object) -> list[str]:
        _, report = cropped(item(), rules=CropRules(**{"face": 1, "bust": 1, **rules}))
        return [text for text in report["messages"] if "captions of whole photographs" in text]

    face, bust = (f"caption_{kind}, such as" for kind in ("face", "bust"))
    both = told()
    assert len(both) == 2
    assert any(face in text for text in both)
    assert any(bust in text for text in both)
    (alone,) = told(caption_bust="upper body of")
    assert face in alone
    assert told(face=0, caption_bust="[caption], from near") == []
    assert told(caption_whole="[caption], full body") == []
    assert told(whole=0) == []


def test_crops_that_cannot_be_made_are_left_out_and_named(item: Callable[..., DatasetItem]) -> None:
    faceless = np.where(tiers() == 255, 0, tiers()).astype(np.uint8)
    items = (
        item(), item("binary", (tiers() > 0) * np.uint8(255)), item("bare", mask_path=None),
        item("empty", np.zeros(SIZE[::-1], np.uint8), tiers_path=item().mask_path),
        item("away", faceless, tiers_path=item().mask_path),
    )  # fmt: skip
    with collect_warnings(lambda _: None) as warnings:
        dataset, report = cropped(*items)
    assert len(dataset.items) == 6
    reasons = {left.item.name: left.reason for left in dataset.left_out}
    assert reasons == {
        "binary~face": "its mask does not tell which part is the face",
        "bare~face": "it has no mask",
        "empty~face": "nothing in its mask has weight",
        "away~face": "no face has weight in it",
    }
    assert report["counts"]["left_out"] == 4
    assert any("4 face crops are left out: binary~face (its mask" in text for text in warnings.texts)
    assert dataset_sheet(dataset, 4).ndim == 3
