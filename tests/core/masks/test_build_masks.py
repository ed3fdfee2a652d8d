"""Masks are built once, exactly, and never over anyone's own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item, read_weights
from maskloss.core.dataset.mask_facts import noted_tiers
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, SettingError
from maskloss.core.images import load_mask, save_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.report.previews import masks_sheet
from maskloss.core.video.masks import read_mask_frames
from maskloss.core.video.reader import probe, read_frames
from maskloss.core.warning import collect_warnings

from .colour_people import BlobSegmenter

Draw = Callable[..., Path]


class QuarterSegmenter:
    """A real, if simple, segmenter: face, hair, body and background by the red value's quarter."""

    name = "quarters"
    approximate = True

    def __init__(self, identity: str = "quarters-1") -> None:
        self.identity = identity
        self.calls = 0

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        self.calls += 1
        return PartMap((rgb_HWC[..., 0] // 64).astype(np.int64), SCHEMES["maskloss_4"], approximate=True)


def dataset_of(*paths: Path, settings: LoadSettings | None = None) -> Dataset:
    return Dataset(tuple(DatasetItem(path.stem, path, settings or LoadSettings()) for path in paths))


def states(report: dict) -> list[str]:
    return [row["state"] for row in report["items"]]


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
    built, report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", overwrite=True)
    assert states(report) == ["written", "written", "unchanged", "written"]
    assert foreign.read_bytes() != content
    assert {load_item(item).origin for item in built.items} == {MaskOrigin.FILE}


def test_a_mask_edited_by_hand_is_kept(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"))
    build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")
    edited = mask("out/a.png", value=3).read_bytes()
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out")[1]
    assert report["items"][0]["reason"] == "it was edited after it was written"
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(face=9), tmp_path / "out")[1]
    assert "the settings changed since" in report["items"][0]["reason"]
    assert (tmp_path / "out/a.png").read_bytes() == edited


def test_an_interrupt_loses_nothing(tmp_path: Path, photograph: Draw) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 1:
                raise KeyboardInterrupt

    dataset = dataset_of(photograph("set/a.png"), photograph("set/b.png", seed=1))
    with pytest.raises(KeyboardInterrupt):
        build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", progress=Impatient())
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
        build_masks(dataset, segmenter, TierWeights(), tmp_path / "out", progress=Impatient(), parts_directory=kept)
    assert not list((tmp_path / "out").glob("*.png"))
    report = build_masks(dataset, segmenter, TierWeights(), tmp_path / "out", parts_directory=kept)[1]
    assert (states(report), report["segmented"], segmenter.calls) == (["written"], 0, 1)


def test_the_photographs_are_never_overwritten(tmp_path: Path, photograph: Draw) -> None:
    path = photograph("set/a.png")
    content = path.read_bytes()
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        build_masks(dataset_of(path), QuarterSegmenter(), TierWeights(), tmp_path / "set", overwrite=True)
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
        report = build_masks(dataset, QuarterSegmenter(), TierWeights(), out, workers=workers)[1]
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
        build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", progress=Impatient(), workers=2)
    done = len(list((tmp_path / "out").glob("*.png")))
    assert 2 <= done <= 8, "what was under way is finished, and nothing else"
    report = build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "out", workers=2)[1]
    assert report["counts"] == {"items": 20, "written": 20 - done, "unchanged": done, "kept": 0}


def test_a_video_gets_one_mask_per_frame(tmp_path: Path, video: Draw) -> None:
    item = DatasetItem("film", video("set/film.mkv", 7), LoadSettings())
    dataset, report = build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", workers=2)
    assert dataset.items[0].mask_path == tmp_path / "out/film.mkv"
    info = probe(item.media_path)
    masks = dict(read_mask_frames(tmp_path / "out/film.mkv", info, range(7)))
    frames = dict(read_frames(item.media_path))
    for number in range(7):
        looked_at = frames[6 if number == 6 else number // 4 * 4]
        assert np.array_equal(masks[number], np.array([0, 255, 80, 128], np.uint8)[looked_at[..., 0] // 64]), number
    row = report["items"][0]
    assert row["video"] == {"frames": 7, "segmented": 3, "without_face": 0}
    assert row["coverage"] == pytest.approx(np.mean([masks[number] for number in (0, 4, 6)]) / 255, abs=1e-5)
    again = build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out")[1]
    assert again["items"][0] == {**row, "state": "unchanged"}
    changed = build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", video_every=1)[1]
    assert changed["items"][0]["video"]["segmented"] == 7
    with pytest.raises(SettingError, match="video_every must be at least 1 frame, got 0"):
        build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", video_every=0)


def test_a_mask_video_saved_with_loss_is_brought_back_to_the_tiers_it_was_built_with(
    tmp_path: Path, video: Draw, make_video: Draw
) -> None:
    item = DatasetItem("film", video("set/film.mkv", 7), LoadSettings())
    tiers = TierWeights(face=240, hair=100, body=170, background=20)
    build_masks(Dataset((item,)), QuarterSegmenter(), tiers, tmp_path / "out")
    # What an editor's export leaves of them: each level a little off.
    drifted_HW = np.repeat(np.array([20, 97, 173, 243], np.uint8), 32)[None].repeat(96, 0)
    frames = [np.dstack([drifted_HW] * 3)] * 7
    make_video(tmp_path / "out/film.mkv", frames, codec="mjpeg", pix_fmt="yuvj420p")
    kept, report = build_masks(Dataset((item,)), QuarterSegmenter(), tiers, tmp_path / "out")
    assert report["items"][0]["state"] == "kept"
    config = DatasetConfig(tmp_path / "set", tmp_path / "out")
    scanned, found = scan_dataset(config)
    assert "are read as the tiers 20, 100, 170, 240" in found.masks_read["film"].note
    for dataset in (kept, scanned):
        assert dataset.items[0].tier_values == (0, 20, 100, 170, 240, 255)
        ((_, weights_HW),) = read_weights(dataset.items[0], [3])
        inside = np.rint(weights_HW[:, 5::10] * 255).astype(int)  # edges are the codec's
        assert (inside == [20, 100, 170, 240]).all()
    # Of a folder that nobody filled, tiers are not known.
    (tmp_path / "out/.maskloss_masks.json").unlink()
    assert "are no tiers of this dataset" in scan_dataset(config)[1].masks_read["film"].note


@pytest.mark.parametrize("stored", ["", "[]", '{"items": 3}', '{"items": {"a": {"details": {"tier_values": [300]}}}}'])
def test_a_damaged_ledger_tells_no_tiers(tmp_path: Path, stored: str) -> None:
    (tmp_path / ".maskloss_masks.json").write_text(stored)
    assert noted_tiers(tmp_path) == ()


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
            dataset, segmenter, tiers, tmp_path / directory, video_every=3, workers=1, parts_directory=kept
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


def test_a_video_with_some_frames_kept_segments_the_others_alone(tmp_path: Path, video: Draw) -> None:
    dataset = Dataset((DatasetItem("film", video("set/film.mkv", 7), LoadSettings()),))
    parts, segmenter = tmp_path / "parts", QuarterSegmenter()
    build_masks(dataset, segmenter, TierWeights(), tmp_path / "a", video_every=3, parts_directory=parts)
    report = build_masks(dataset, segmenter, TierWeights(), tmp_path / "b", video_every=2, parts_directory=parts)[1]
    assert report["segmented"] == 2  # of 0, 2, 4 and 6 the second and the third
    for path in parts.rglob("*.parts"):
        path.write_bytes(b"damaged")
    again = build_masks(dataset, segmenter, TierWeights(), tmp_path / "c", video_every=2, parts_directory=parts)[1]
    assert again["segmented"] == 4
    info = probe(dataset.items[0].media_path)
    frames = [
        [mask_HW for _, mask_HW in read_mask_frames(tmp_path / f"{name}/film.mkv", info, range(7))] for name in "bc"
    ]
    np.testing.assert_array_equal(*frames)


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
                dataset, QuarterSegmenter(), TierWeights(hair=5), tmp_path / directory, earlier=[tmp_path / "one"]
            )
        assert states(report) == ["written", "kept", "written"]
        assert changed.items[1].mask_path == edited
        assert (load_mask(edited) == 7).all()
        assert "kept as they are: b." in warnings.texts[0]
        assert "b" not in [path.stem for path in (tmp_path / "two").glob("*.png")]
    overwritten, _ = build_masks(
        dataset, QuarterSegmenter(), TierWeights(hair=5), tmp_path / "two", overwrite=True, earlier=[tmp_path / "one"]
    )
    assert overwritten.items[1].mask_path == tmp_path / "two/b.png"


def test_an_edited_mask_of_another_photograph_of_that_name_is_not_taken_over(tmp_path: Path, photograph: Draw) -> None:
    dataset = dataset_of(photograph("set/a.png"))
    build_masks(dataset, QuarterSegmenter(), TierWeights(), tmp_path / "one")
    save_image(tmp_path / "one/a.png", np.full((30, 40), 7, np.uint8))
    other = dataset_of(photograph("other/a.png", seed=9))
    built, _ = build_masks(other, QuarterSegmenter(), TierWeights(), tmp_path / "two", earlier=[tmp_path / "one"])
    assert built.items[0].mask_path == tmp_path / "two/a.png"


class HalfFaceless:
    """Two people, of whom the right one has a face if the picture's first pixel is bright; a speck besides."""

    name = "half faceless"
    identity = "half faceless/1"
    approximate = True

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        scheme = SCHEMES["maskloss_4"]
        label_HW[5:25, 2:15] = label_HW[5:25, 22:35] = scheme.class_id("Body")
        label_HW[5:10, 2:15] = scheme.class_id("Face")
        label_HW[28, 38] = scheme.class_id("Body")  # less than 1 % of the picture
        if rgb_HWC[0, 0, 0] > 127:
            label_HW[5:10, 22:35] = scheme.class_id("Face")
        return PartMap(label_HW, scheme)


def test_a_person_without_a_face_is_said(tmp_path: Path, photograph: Draw) -> None:
    bright, dark = photograph("set/bright.png", (40, 30)), photograph("set/dark.png", (40, 30), seed=1)
    for path, value in ((bright, 200), (dark, 20)):
        pixels_HWC = np.full((30, 40, 3), value, np.uint8)
        save_image(path, pixels_HWC)
    with collect_warnings(lambda _: None) as warnings:
        built, report = build_masks(dataset_of(bright, dark), HalfFaceless(), TierWeights(), tmp_path / "out")
    assert [row["faceless"] for row in report["items"]] == [0, 1]
    (text,) = warnings.texts
    assert "dark" in text
    assert "bright" not in text
    assert report["messages"] == [text]
    again = build_masks(dataset_of(bright, dark), HalfFaceless(), TierWeights(), tmp_path / "out")[1]
    assert [row["faceless"] for row in again["items"]] == [0, 1], "a re-run says it too"
    assert again["messages"] == [text]
    with_note_HWC = masks_sheet(built, report, 2, 4)
    quiet = {**report, "items": [{**row, "faceless": 0} for row in report["items"]]}
    assert with_note_HWC.shape != masks_sheet(built, quiet, 2, 4).shape, "the sheet has a line for it"
