"""Masks are built once, exactly, and never over anyone's own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError
from maskloss.core.images import load_mask
from maskloss.core.masks.build_masks import Reuse, build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.video.masks import read_mask_frames
from maskloss.core.video.reader import probe

from .colour_people import BlobSegmenter
from .quarter_people import QuarterSegmenter, dataset_of, states

Draw = Callable[..., Path]


def test_a_second_run_touches_nothing(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"), photograph("set/b.png", seed=1))
    segmenter = QuarterSegmenter()
    first = build_masks(dataset, segmenter, TierWeights(), tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = build_masks(dataset, segmenter, TierWeights(), tmp_path / "out")
    assert segmenter.calls == 2
    assert states(again[1]) == ["unchanged", "unchanged"]
    assert again[0] == first[0]
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert [row["coverage"] for row in again[1]["items"]] == [row["coverage"] for row in first[1]["items"]]


@pytest.mark.parametrize("change", ["tiers", "segmenter", "photograph"])
def test_what_changed_is_built_again(tmp_path: Path, photograph: Draw, change: str) -> None:
    dataset = dataset_of(photograph("set/a.png"), photograph("set/b.png", seed=1))
    build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")
    if change == "photograph":
        photograph("set/a.png", seed=9)
    segmenter = QuarterSegmenter("quarters-2" if change == "segmenter" else "quarters-1")
    tiers = TierWeights(hair=81) if change == "tiers" else TierWeights()
    report = build_masks(dataset, segmenter, tiers, tmp_path / "out")[1]
    assert states(report) == ["written", "unchanged" if change == "photograph" else "written"]
    assert (load_mask(tmp_path / "out/b.png") == tiers.hair).any()


def test_masks_that_are_there_are_kept_unless_overwrite(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    left = np.zeros((30, 40), np.uint8)
    left[:, :20] = 200
    alpha = LoadSettings(alpha_mask=True)
    dataset = Dataset(
        (
            DatasetItem("file", photograph("set/file.png"), LoadSettings(), mask("masks/file.png")),
            DatasetItem("alpha", photograph("set/alpha.png", alpha=left), alpha),
            DatasetItem("opaque", photograph("set/opaque.png", alpha=255), alpha),
            DatasetItem("foreign", photograph("set/foreign.png"), LoadSettings()),
        )
    )
    foreign = mask("out/foreign.png", value=70)
    content = foreign.read_bytes()
    built, report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")
    assert states(report) == ["kept", "kept", "written", "kept"]
    assert [row["mask_read"]["meaning"] for row in report["items"] if "mask_read" in row] == ["brightness"]
    assert [load_item(item).origin for item in built.items] == [
        MaskOrigin.FILE, MaskOrigin.ALPHA, MaskOrigin.FILE, MaskOrigin.FILE,
    ]  # fmt: skip
    assert built.items[0] == dataset.items[0]
    assert built.items[3].mask_path == foreign
    assert foreign.read_bytes() == content
    assert report["items"][3]["reason"] == "a file lies there that this step did not write"
    built, report = build_masks(
        dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", reuse=Reuse(overwrite=True)
    )
    assert states(report) == ["written", "written", "unchanged", "written"]
    assert foreign.read_bytes() != content
    assert {load_item(item).origin for item in built.items} == {MaskOrigin.FILE}


def test_an_interrupt_loses_nothing(tmp_path: Path, photograph: Draw) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 1:
                raise KeyboardInterrupt

    dataset = dataset_of(photograph("set/a.png"), photograph("set/b.png", seed=1))
    with pytest.raises(KeyboardInterrupt):
        build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(progress=Impatient()))
    segmenter = QuarterSegmenter()
    assert states(build_masks(dataset, segmenter, TierWeights(), tmp_path / "out")[1]) == ["unchanged", "written"]
    assert segmenter.calls == 1


def test_an_interrupt_while_a_photograph_is_worked_on_stops_before_its_mask_and_keeps_its_parts(
    tmp_path: Path, photograph: Draw
) -> None:
    segmenter = QuarterSegmenter()

    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if segmenter.calls:
                raise KeyboardInterrupt

    dataset, kept = dataset_of(photograph("set/a.png")), tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        build_masks(
            dataset,
            segmenter,
            TierWeights(),
            tmp_path / "out",
            reuse=Reuse(parts_directory=kept),
            work=ItemWork(progress=Impatient()),
        )
    assert not list((tmp_path / "out").glob("*.png"))
    report = build_masks(dataset, segmenter, TierWeights(), tmp_path / "out", reuse=Reuse(parts_directory=kept))[1]
    assert (states(report), report["segmented"], segmenter.calls) == (["written"], 0, 1)


def test_the_photographs_are_never_overwritten(tmp_path: Path, photograph: Draw) -> None:
    path = photograph("set/a.png")
    content = path.read_bytes()
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        build_masks(dataset_of(path), QuarterSegmenter(), TierWeights(), tmp_path / "set", reuse=Reuse(overwrite=True))
    assert path.read_bytes() == content


def test_what_was_built_below_the_images_is_no_image_of_the_next_scan(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/sub/a.jpg")
    config = DatasetConfig(tmp_path / "set", recursive=True)
    built, _ = build_masks(scan_dataset(config)[0], QuarterSegmenter(), TierWeights(), tmp_path / "set/masks")
    assert built.items[0].mask_path == tmp_path / "set/masks/sub/a.png"
    assert [item.name for item in scan_dataset(config)[0].items] == ["sub/a"]
    again = DatasetConfig(tmp_path / "set", tmp_path / "set/masks", recursive=True)
    rebuilt, report = build_masks(scan_dataset(again)[0], QuarterSegmenter(), TierWeights(), tmp_path / "set/masks")
    assert states(report) == ["unchanged"]
    assert rebuilt.items[0].mask_path == built.items[0].mask_path


def test_any_number_of_workers_gives_the_same_masks_and_report(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(*(photograph(f"set/{number}.png", seed=number) for number in range(7)))
    results = []
    for workers in (1, 3):
        out = tmp_path / f"out{workers}"
        report = build_masks(dataset, QuarterSegmenter(), TierWeights(), out, work=ItemWork(workers=workers))[1]
        ledger = (out / ".maskloss_masks.json").read_bytes()
        results.append((report, ledger, [(out / f"{number}.png").read_bytes() for number in range(7)]))
    assert results[0] == results[1]


def test_several_at_once_are_interrupted_and_go_on(tmp_path: Path, photograph: Draw) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 2:
                raise KeyboardInterrupt

    dataset = dataset_of(*(photograph(f"set/{number}.png", seed=number) for number in range(20)))
    with pytest.raises(KeyboardInterrupt):
        build_masks(
            dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(workers=2, progress=Impatient())
        )
    done = len(list((tmp_path / "out").glob("*.png")))
    assert 2 <= done <= 8, "what was under way is finished, and nothing else"
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(workers=2))[1]
    assert report["counts"] == {"items": 20, "written": 20 - done, "unchanged": done, "kept": 0}


def test_what_a_person_segmenter_finds_is_body_too(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"))
    segmenter = QuarterSegmenter()
    build_masks(dataset, segmenter, TierWeights(), tmp_path / "out")
    before = load_mask(tmp_path / "out/a.png")
    report = build_masks(dataset, segmenter, TierWeights(), tmp_path / "out", person_segmenter=BlobSegmenter())[1]
    assert states(report) == ["written"], "another segmenter makes other masks"
    after = load_mask(tmp_path / "out/a.png")
    assert (after[before == 0] == 128).all()
    assert (after[before > 0] == before[before > 0]).all()


def test_other_weights_are_made_from_kept_parts(tmp_path: Path, photograph: Draw, video: Draw) -> None:
    film = DatasetItem("film", video("set/film.mkv", 7), LoadSettings())
    dataset = Dataset((*dataset_of(photograph("set/a.png"), photograph("set/b.png", seed=1)).items, film))
    parts, segmenter = tmp_path / "parts", QuarterSegmenter()

    def build(directory: str, tiers: TierWeights, kept: Path | None = parts) -> dict:
        return build_masks(
            dataset,
            segmenter,
            tiers,
            tmp_path / directory,
            reuse=Reuse(parts_directory=kept),
            work=ItemWork(video_every=3, workers=1),
        )[1]

    assert build("one", TierWeights())["segmented"] == segmenter.calls == 5  # two photographs, frames 0, 3 and 6
    assert build("one", TierWeights(hair=10))["segmented"] == 0
    assert build("other", TierWeights(hair=10))["segmented"] == 0
    assert segmenter.calls == 5
    build("fresh", TierWeights(hair=10), kept=None)
    for name in ("a.png", "b.png"):
        expected_HW = load_mask(tmp_path / "fresh" / name)
        assert 10 in expected_HW
        np.testing.assert_array_equal(load_mask(tmp_path / "one" / name), expected_HW)
        np.testing.assert_array_equal(load_mask(tmp_path / "other" / name), expected_HW)
    info = probe(film.media_path)
    for directory in ("one", "other"):
        pairs = zip(
            read_mask_frames(tmp_path / directory / "film.mkv", info, range(info.frames)),
            read_mask_frames(tmp_path / "fresh/film.mkv", info, range(info.frames)),
            strict=True,
        )
        assert all((mask_HW == expected_HW).all() for (_, mask_HW), (_, expected_HW) in pairs)


def test_masks_are_exact_and_belong_to_the_items(tmp_path: Path, photograph: Draw) -> None:
    path = photograph("set/a.png", (40, 30))
    dataset, report = build_masks(dataset_of(path), QuarterSegmenter(), TierWeights(), tmp_path / "out")
    item = dataset.items[0]
    assert item.mask_path == item.tiers_path == tmp_path / "out/a.png"
    mask_HW = load_mask(tmp_path / "out/a.png")
    rgb_HWC = load_item(item).rgb_HWC
    assert mask_HW.shape == (30, 40)
    for quarter, value in enumerate((0, 255, 80, 128)):
        assert (mask_HW[rgb_HWC[..., 0] // 64 == quarter] == value).all()
    row = report["items"][0]
    assert row["state"] == "written"
    assert row["approximate"] is True
    assert row["coverage"] == pytest.approx(mask_HW.mean() / 255, abs=1e-6)
    assert row["tiers"]["hair"] == pytest.approx((mask_HW == 80).mean(), abs=1e-6)
    assert report["counts"] == {"items": 1, "written": 1, "unchanged": 0, "kept": 0}
