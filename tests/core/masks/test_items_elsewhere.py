"""Items that go to other processes give the rows, files and ledgers that they give here, videos and people too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import ItemsFailedError
from maskloss.core.masks.build_masks import Reuse, build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_people import PeopleRules, keep_people
from maskloss.core.masks.keep_person import PersonOutput
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.progress import SILENT
from one_worker import PickledHere

from .colour_people import BLUE, GREEN, BlobSegmenter, ColourRecognizer, draw_people
from .quarter_people import QuarterSegmenter, dataset_of, states
from .several_people import BLUMA, GRETA, SKIP

Draw = Callable[..., Path]


@pytest.fixture
def dataset(photograph: Draw, video: Draw) -> Dataset:
    return dataset_of(photograph("set/a.png"), video("set/film.mkv", frames=6), photograph("set/b.png", seed=1))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def built(dataset: Dataset, folder: Path, spread: PickledHere | None, segmenter: QuarterSegmenter) -> tuple:
    work = ItemWork(video_every=2, progress=SILENT, spread=spread)
    reuse = Reuse(parts_directory=folder.with_name(f"{folder.name} parts"))
    return build_masks(dataset, segmenter, TierWeights(), folder, reuse=reuse, work=work)


def test_masks_built_elsewhere_are_those_built_here(tmp_path: Path, dataset: Dataset) -> None:
    segmenter = QuarterSegmenter()
    spread = PickledHere(segmenter)
    here, report = built(dataset, tmp_path / "here", None, segmenter)
    there, other = built(dataset, tmp_path / "there", spread, segmenter)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert other == report
    assert report["segmented"] == 6  # two photographs, frames 0, 2, 4 and 5
    assert spread.sent == [("a",), ("film",), ("b",)]
    assert [item.mask_path.name for item in there.items] == [item.mask_path.name for item in here.items]


def test_only_what_changed_is_sent(tmp_path: Path, photograph: Draw, dataset: Dataset) -> None:
    segmenter = QuarterSegmenter()
    built(dataset, tmp_path / "out", None, segmenter)
    photograph("set/b.png", seed=2)
    edited = tmp_path / "out/a.png"
    edited.write_bytes(edited.read_bytes() + b"edited")
    spread = PickledHere(segmenter)
    _, report = built(dataset, tmp_path / "out", spread, segmenter)
    assert spread.sent == [("b",)]
    assert states(report) == ["kept", "unchanged", "written"]
    assert report["items"][0]["reason"] == "it was edited after it was written"


def test_items_that_fail_here_or_there_are_named_together(tmp_path: Path, dataset: Dataset) -> None:
    first, film, last = dataset.items
    first.media_path.unlink()
    last.media_path.write_bytes(last.media_path.read_bytes()[:300])
    segmenter = QuarterSegmenter()
    with pytest.raises(ItemsFailedError) as raised:
        built(dataset, tmp_path / "out", PickledHere(segmenter), segmenter)
    assert list(raised.value.reasons) == ["a", "b"]
    _, report = built(dataset.without(raised.value.reasons), tmp_path / "out", PickledHere(segmenter), segmenter)
    assert states(report) == ["unchanged"]
    assert film.name == report["items"][0]["name"]


def test_several_people_of_photographs_and_films(tmp_path: Path, scene: Draw, video: Draw) -> None:
    frames = [draw_people((20 + 2 * t, GREEN, True), (140, BLUE, t < 5)) for t in range(9)]
    items = (
        DatasetItem("pair", scene("pair", (20, GREEN), (120, BLUE)), LoadSettings()),
        DatasetItem("film", video("set/film.mkv", frames), LoadSettings()),
        DatasetItem("nobody", scene("nobody"), LoadSettings()),
    )
    recognizer, segmenter = ColourRecognizer(), BlobSegmenter()
    people = (GRETA, replace(BLUMA))
    search = PersonSearch(recognizer, tuple(each.identity for each in people), segmenter, SKIP)
    spread = PickledHere(recognizer, segmenter)

    def keep(folder: str, spread: PickledHere | None) -> tuple:
        output = PersonOutput(tmp_path / folder, instance_directory=tmp_path / f"{folder} instances")
        work = ItemWork(video_every=2, spread=spread)
        return keep_people(Dataset(items), people, search, output, PeopleRules(together=0.3), work)

    here, there = keep("here", None), keep("there", spread)
    assert spread.sent == [("pair",), ("film",), ("nobody",)]
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert files(tmp_path / "there instances") == files(tmp_path / "here instances")
    assert there[1] == here[1]
    assert [item.name for item in there[0].items] == [item.name for item in here[0].items]
    assert np.any([item.name.endswith("@together") for item in there[0].items])
    keep("there", spread)
    assert len(spread.sent) == 3
