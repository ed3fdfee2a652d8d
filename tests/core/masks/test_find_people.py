"""The faces of a dataset are sorted by person without references; only rows with names become people."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import SettingError
from maskloss.core.masks.find_people import NamedRow, find_people, parse_names
from maskloss.core.report.found_people_sheet import CELL_PX, found_people_sheet
from PIL import Image

from .colour_people import BLUE, GREEN, PINK, RED, ColourRecognizer, draw_people

Draw = Callable[..., Path]


class Find:
    def __init__(self, tmp_path: Path) -> None:
        self.directory, self.recognizer = tmp_path / "found", ColourRecognizer()

    def __call__(self, *items: DatasetItem, names: str = "", least: int = 2):
        return find_people(Dataset(items), self.recognizer, parse_names(names), self.directory, least)


@pytest.fixture
def find(tmp_path: Path) -> Find:
    return Find(tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> Draw:
    """scene("a", (x, colour), …): people whose faces are 60 px."""

    def draw(name: str, *people: tuple[int, tuple[int, int, int]]) -> Path:
        rgb_HWC = draw_people(*((x, colour, True) for x, colour in people))
        path = tmp_path / f"set/{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.repeat(np.repeat(rgb_HWC, 2, axis=0), 2, axis=1)).save(path)
        return path

    return draw


@pytest.fixture
def album(scene: Draw) -> list[DatasetItem]:
    people = {"a": [(20, RED), (80, GREEN)], "b": [(20, GREEN), (80, RED)], "c": [(20, GREEN)], "d": [(140, BLUE)]}
    return [DatasetItem(name, scene(name, *who), LoadSettings()) for name, who in people.items()]


def test_a_row_for_each_person_and_people_for_the_names(find: Find, album: list[DatasetItem]) -> None:
    people, rows, report = find(*album)
    assert people == ()
    assert [(row.number, row.photographs) for row in rows] == [(1, 3), (2, 2)]
    assert sorted(face.item.name for face in rows[0].sure) == ["a", "b", "c"]
    assert report["counts"] == {"faces": 6, "too_small": 0, "people": 2, "sorted": 5, "doubtful": 0, "others": 1}
    people, _, report = find(*album, names="gr3ta\nrosa, ohwx, woman")
    assert [(each.name, each.word, each.class_noun) for each in people] == [
        ("gr3ta", "gr3ta", "person"), ("rosa", "ohwx", "woman"),
    ]  # fmt: skip
    assert np.allclose(people[1].identity.embeddings_NK.mean(axis=0), RED)
    assert [each["name"] for each in report["people"]] == ["gr3ta", "rosa"]
    only, _, _ = find(*album, names="-\nrosa")
    assert [each.name for each in only] == ["rosa"]


def test_faces_are_found_once(find: Find, album: list[DatasetItem]) -> None:
    find(*album)
    calls = find.recognizer.calls
    find(*album, names="greta")
    assert find.recognizer.calls == calls == 4


def test_rows_keep_their_places_while_they_have_names(find: Find, album: list[DatasetItem], scene: Draw) -> None:
    find(*album)
    more = [DatasetItem(f"m{n}", scene(f"m{n}", (20 + n, RED), (140, BLUE)), LoadSettings()) for n in range(4)]
    people, rows, _ = find(*album, *more, names="greta\nrosa")
    assert [row.photographs for row in rows] == [3, 6, 5], "rosa is in most now, and stays in the second row"
    assert np.allclose(people[1].identity.embeddings_NK.mean(axis=0), RED)
    people, rows, report = find(*more, names="greta\nrosa")
    assert [row.photographs for row in rows][:2] == [0, 4]
    assert [each.name for each in people] == ["rosa"]
    assert any("Row 1 is greta, and their photographs are gone" in text for text in report["warnings"])
    assert found_people_sheet(rows).ndim == 3
    assert [row.photographs for row in find(*album, *more)[1]] == [6, 5, 3], "without names they are sorted anew"


def test_a_copy_of_a_photograph_is_no_second_one(find: Find, scene: Draw, tmp_path: Path) -> None:
    first = scene("one", (20, RED))
    copy = tmp_path / "set/two.png"
    copy.write_bytes(first.read_bytes())
    items = [DatasetItem(path.stem, path, LoadSettings()) for path in (first, copy)]
    people, rows, report = find(*items)
    assert (people, rows) == ((), [])
    assert "Nobody was found in enough photographs" in report["warnings"][0]


def test_two_who_look_alike_side_by_side_stay_two(find: Find, scene: Draw) -> None:
    items = [DatasetItem(f"i{n}", scene(f"i{n}", (20 + n, RED), (100, PINK)), LoadSettings()) for n in range(3)]
    _, rows, _ = find(*items)
    assert not any(row.sure for row in rows), "too close to be told apart: nobody is a reference"


def test_names_that_do_not_fit_are_refused(find: Find, album: list[DatasetItem]) -> None:
    with pytest.raises(SettingError, match="names has 3 lines, but 2 people were found"):
        find(*album, names="a\nb\nc")
    with pytest.raises(SettingError, match="Two people are called"):
        find(*album, names="rosa\nrosa")
    with pytest.raises(SettingError, match="names holds the line"):
        parse_names("a, b, c, d")
    assert parse_names("anna,,woman\n\n-\nb,x\n\n") == [
        NamedRow("anna", "", "woman"), NamedRow(""), NamedRow(""), NamedRow("b", "x"),
    ]  # fmt: skip


def test_the_sheet_has_a_row_of_cells_for_each_person(find: Find, album: list[DatasetItem]) -> None:
    _, rows, _ = find(*album)
    sheet_HWC = found_people_sheet(rows)
    assert sheet_HWC.dtype == np.uint8
    assert sheet_HWC.shape[0] > len(rows) * CELL_PX
    assert found_people_sheet([]).size
