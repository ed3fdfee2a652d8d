"""Only the person sought keeps weight, it fails closed, and nothing is done twice.

The people here are blocks of one colour with a bright face on top; a real, if simple, recogniser and segmenter find
them, so that the whole road from pixels to the written mask is walked.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, PersonError, SettingError
from maskloss.core.images import load_mask
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome
from maskloss.core.warning import collect_warnings

from .colour_people import BLUE, GREEN, PINK, RED
from .one_person import Step


def test_the_others_lose_all_weight_and_the_person_none(step: Step, group: DatasetItem) -> None:
    dataset, report = step(group)
    item = dataset.items[0]
    kept_HW, before_HW = load_mask(step.out / "group.png"), load_mask(group.mask_path)
    assert np.array_equal(kept_HW[:, 80:120], before_HW[:, 80:120])
    assert not kept_HW[:, :80].any()
    assert not kept_HW[:, 120:].any()
    assert (item.mask_path, item.tiers_path) == (step.out / "group.png", group.mask_path)
    assert item.person is not None
    assert (item.person.outcome, item.person.chosen) == (Outcome.MATCH, 1)
    row = report["items"][0]
    assert (row["state"], row["decision"], [face["chosen"] for face in row["faces"]]) == (
        "written", "match", [False, True, False],
    )  # fmt: skip
    assert row["area"] == pytest.approx((30 * 30 + 40 * 70) / (120 * 200), abs=1e-6)
    assert row["coverage"] == pytest.approx(kept_HW.mean() / 255, abs=1e-6)


def test_masks_whose_licence_forbids_biometrics_are_warned_about(step: Step, group: DatasetItem) -> None:
    assert step(group)[1]["warnings"] == []
    with open_ledger(group.mask_path.parent, "BuildMasks") as ledger:
        ledger.finish("group", "", group.mask_path, {"forbids_biometrics": "sapiens2 seg"})
    (warning,) = step(group)[1]["warnings"]
    assert "built by sapiens2 seg, whose licence forbids biometric processing" in warning


@pytest.mark.parametrize(
    ("on_no_match", "said"),
    [
        (OnNoMatch.SKIP, "nothing is left to train on"),
        (OnNoMatch.EMPTY, "nothing is left to train on"),
        (OnNoMatch.LARGEST, "only the largest faces were kept, whoever they are"),
    ],
)
def test_the_person_in_no_photograph_is_warned_of(
    step: Step, scene: Callable[..., Path], on_no_match: OnNoMatch, said: str
) -> None:
    strangers = [DatasetItem(name, scene(name, (20, BLUE)), LoadSettings()) for name in ("a", "b")]
    rules = MatchRules(on_no_match=on_no_match)
    for _ in range(2):  # a run that finds everything done says so as well
        with collect_warnings(lambda _: None) as warnings:
            report = step(*strangers, rules=rules)[1]
        (text,) = warnings.texts
        assert report["warnings"] == [text]
        assert "recognised in none of 2 photographs" in text
        assert said in text
        assert "the most alike is " in text
    known = DatasetItem("c", scene("c", (20, RED)), LoadSettings())
    assert step(*strangers, known, rules=rules)[1]["warnings"] == []


def test_a_photograph_without_the_person_is_left_out_and_nobody_kept(
    step: Step, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN), (140, BLUE)), LoadSettings())
    dataset, report = step(group, strangers)
    assert [item.name for item in dataset.items] == ["group"]
    left = dataset.left_out[0]
    assert left.item.name == "strangers"
    assert left.item.person is not None
    assert left.item.person.outcome is Outcome.SKIPPED
    assert "0.90 is needed" in left.reason
    assert not (step.out / "strangers.png").exists()
    assert [row["name"] for row in report["items"]] == ["strangers", "group"], "left-out ones come first"
    assert report["counts"] == {
        "items": 2, "left_out": 1, "written": 1, "unchanged": 0, "kept": 0, "decided_match": 1, "decided_skipped": 1,
    }  # fmt: skip
    assert report["text"].splitlines()[0].startswith("left out  strangers  2 faces [0.0")
    assert "1.00*" in report["text"].splitlines()[1]


def test_the_rules_may_ask_for_an_empty_mask_or_an_error(step: Step, scene: Callable[..., Path]) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN)), LoadSettings())
    dataset, report = step(strangers, rules=MatchRules(on_no_match=OnNoMatch.EMPTY))
    assert report["items"][0]["decision"] == "empty"
    assert not load_mask(step.out / "strangers.png").any()
    assert len(dataset.items) == 1
    with pytest.raises(PersonError, match=r"^strangers: The person cannot be told apart.*face 0"):
        step(strangers, rules=MatchRules(on_no_match=OnNoMatch.ERROR), overwrite=True)


def test_a_photograph_without_a_face_does_not_stop_the_largest_faces(
    step: Step, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    nobody = DatasetItem("nobody", scene("nobody"), LoadSettings())
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN)), LoadSettings())
    dataset, report = step(nobody, strangers, group, rules=MatchRules(on_no_match=OnNoMatch.LARGEST))
    assert {row["name"]: row["decision"] for row in report["items"]} == {
        "nobody": "skipped", "strangers": "largest", "group": "match",
    }  # fmt: skip
    assert sorted(item.name for item in dataset.items) == ["group", "strangers"]
    assert "no face was found" in dataset.left_out[0].reason
    with pytest.raises(PersonError, match=r"^group: .*7"):
        step(group, rules=MatchRules(on_no_match=OnNoMatch.LARGEST), choices={"group": 7})


def test_two_who_look_alike_are_no_match(step: Step, scene: Callable[..., Path]) -> None:
    dataset, _ = step(DatasetItem("twins", scene("twins", (20, RED), (140, PINK)), LoadSettings()))
    assert not dataset.items
    assert "too close to each other" in dataset.left_out[0].reason


def test_a_choice_names_the_face_of_one_photograph(step: Step, group: DatasetItem) -> None:
    dataset, report = step(group, choices={"group": 2})
    assert report["items"][0]["decision"] == "index"
    assert not load_mask(step.out / "group.png")[:, :140].any()
    assert dataset.items[0].person is not None
    assert dataset.items[0].person.chosen == 2
    with pytest.raises(SettingError, match=r"choices names 'grop', which is no item.*did you mean 'group'"):
        step(group, choices={"grop": 0})
    with pytest.raises(PersonError, match=r"group: face_index is 7, but the picture shows 3 faces"):
        step(group, choices={"group": 7})


def test_directories_that_would_destroy_something_are_refused(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    step.out = tmp_path / "everyone"
    with pytest.raises(DatasetError, match="The mask of everyone in group lies at"):
        step(group)
    step.out = tmp_path / "set"
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        step(group)
    step.out = tmp_path / "out"
    with pytest.raises(SettingError, match="instance_directory and output_directory are both"):
        step(group, instance_directory=tmp_path / "out")
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        step(group, instance_directory=tmp_path / "set")


def test_an_interrupt_keeps_what_was_decided(step: Step, group: DatasetItem, scene: Callable[..., Path]) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 1:
                raise KeyboardInterrupt

    second = DatasetItem("second", scene("second", (20, RED)), LoadSettings())
    with pytest.raises(KeyboardInterrupt):
        step(group, second, progress=Impatient())
    report = step(group, second)[1]
    assert [row["state"] for row in report["items"]] == ["unchanged", "written"]


def test_a_face_chosen_by_hand_is_kept_before_all_others_and_only_there(step: Step, group: DatasetItem) -> None:
    step(group)
    matched = (step.out / "group.png").read_bytes()
    chosen = replace(group, chosen_face=(145 / 200, 20 / 120, 175 / 200, 50 / 120))
    dataset, report = step(chosen, choices={"group": 0})
    kept_HW = load_mask(step.out / "group.png")
    assert kept_HW[:, 140:180].any()
    assert not kept_HW[:, :140].any()
    assert dataset.items[0].person is not None
    assert (dataset.items[0].person.outcome, dataset.items[0].person.chosen) == (Outcome.INDEX, 2)
    assert (report["items"][0]["state"], report["items"][0]["reason"]) == ("written", "face 2 was chosen by hand")
    assert step(chosen)[1]["items"][0]["state"] == "unchanged"
    assert step(group)[1]["items"][0]["state"] == "written"
    assert (step.out / "group.png").read_bytes() == matched
