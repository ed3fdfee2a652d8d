"""Masks that people edited go on counting, and only for the photograph that they were edited for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from maskloss.core.images import load_mask, save_image
from maskloss.core.masks.build_masks import Reuse, build_masks
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.warning import collect_warnings

from .quarter_people import QuarterSegmenter, dataset_of, states

Draw = Callable[..., Path]


def test_a_mask_edited_by_hand_is_kept(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"))
    build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")
    edited = mask("out/a.png", value=3).read_bytes()
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")[1]
    assert report["items"][0]["reason"] == "it was edited after it was written"
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(face=9), tmp_path / "out")[1]
    assert "the settings changed since" in report["items"][0]["reason"]
    assert (tmp_path / "out/a.png").read_bytes() == edited


def test_edited_masks_are_kept_and_named_when_the_weights_change(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(*(photograph(f"set/{name}.png", seed=seed) for seed, name in enumerate("abc")))
    built, _ = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "one")
    edited = built.items[1].mask_path
    assert edited is not None
    save_image(edited, np.full_like(load_mask(edited), 7))
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "one")[1]
    assert report["messages"] == ["1 masks were edited by hand and are kept: b."]
    for directory in ("one", "two"):  # in the same folder, and in that which other weights have
        with collect_warnings(lambda _: None) as warnings:
            changed, report = build_masks(
                dataset,
                QuarterSegmenter(),
                TierWeights(hair=5),
                tmp_path / directory,
                reuse=Reuse(earlier=[tmp_path / "one"]),
            )
        assert states(report) == ["written", "kept", "written"]
        assert changed.items[1].mask_path == edited
        assert (load_mask(edited) == 7).all()
        assert "kept as they are: b." in warnings.texts[0]
        assert "b" not in [path.stem for path in (tmp_path / "two").glob("*.png")]
    overwritten, _ = build_masks(
        dataset,
        QuarterSegmenter(),
        TierWeights(hair=5),
        tmp_path / "two",
        reuse=Reuse(overwrite=True, earlier=[tmp_path / "one"]),
    )
    assert overwritten.items[1].mask_path == tmp_path / "two/b.png"


def test_an_edited_mask_of_another_photograph_of_that_name_is_not_taken_over(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"))
    build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "one")
    save_image(tmp_path / "one/a.png", np.full((30, 40), 7, np.uint8))
    other = dataset_of(photograph("other/a.png", seed=9))
    built, _ = build_masks(
        other, QuarterSegmenter(), TierWeights(), tmp_path / "two", reuse=Reuse(earlier=[tmp_path / "one"])
    )
    assert built.items[0].mask_path == tmp_path / "two/a.png"
