"""People, Find People, Keep People (Dataset)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.dataset.items import Dataset
from ..core.dataset.person_captions import CaptionTemplate
from ..core.host import current_host
from ..core.masks.each_item import VIDEO_EVERY, ItemWork
from ..core.masks.find_people import find_people, parse_names
from ..core.masks.keep_people import PeopleRules, keep_people
from ..core.masks.keep_person import PersonOutput
from ..core.masks.person_report import people_words, person_table
from ..core.masks.person_search import PersonSearch
from ..core.people.decision import MatchRules, OnNoMatch
from ..core.people.faces import FaceRecognizer
from ..core.people.identity import Identity
from ..core.people.instances import PersonSegmenter
from ..core.people.people import OwnWeights, Person, add_person
from ..core.report.found_people_sheet import MOST_ROWS, found_people_sheet
from ..core.report.people_sheets import people_sheets
from .checks import verdict
from .dataset_masks import SHEET_COLUMNS, SHEET_LIMIT, digest_kept, instance_masks, parse_choices, video_every
from .node import Node
from .output_folders import output_directory_for
from .results import as_json, with_report
from .sockets import (
    BOOLEAN,
    COMBO,
    DATASET,
    FACE_RECOGNIZER,
    FLOAT,
    IDENTITY,
    INT,
    PEOPLE,
    PERSON_SEGMENTER,
    RARE,
    SOCKET,
    STRING,
    Declaration,
    image_from_pictures,
)
from .viewing import offer_help, viewed
from .written import OUTPUTS

TEMPLATE = "{trigger}, {caption}"


class MaskLossPeople(Node):
    TITLE = "People"
    CATEGORY = "MaskLoss/Load"
    DESCRIPTION = (
        "A list of people for one LoRA, each with a name, a trigger word and weights. One node for each person."
    )
    SEARCH_ALIASES = ("several people", "multiple characters", "couple", "family", "group")
    RETURN_TYPES = (PEOPLE,)
    RETURN_NAMES = ("people",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "identity": SOCKET(IDENTITY, "From Reference Faces."),
                "name": STRING("", "What the person is called; empty = the name that Reference Faces gave."),
            },
            "optional": {
                "trigger": STRING("", "The word in captions that is to mean them; empty = the name."),
                "class_noun": STRING("person", "What they are in one word, such as woman."),
                "people": SOCKET(PEOPLE, "From another People: this one is added to that list."),
                **own_weights(),
            },
        }

    def run(
        self,
        identity: Identity,
        name: str,
        trigger: str = "",
        class_noun: str = "person",
        people: tuple[Person, ...] | None = None,
        face_weight: int = -1,
        hair_weight: int = -1,
        body_weight: int = -1,
        background_weight: int = -1,
    ) -> tuple[tuple[Person, ...]]:
        named = replace(identity, name=name.strip() or identity.name)
        weights = OwnWeights(face_weight, hair_weight, body_weight, background_weight)
        return (add_person(people or (), Person(named, trigger, class_noun, weights)),)


class MaskLossFindPeople(Node):
    TITLE = "Find People"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Sorts all faces of a dataset by person, without references: a row for each, to be given names."
    SEARCH_ALIASES = ("face clustering", "several people", "group photo", "sort faces")
    RETURN_TYPES = (PEOPLE, "IMAGE", "STRING")
    RETURN_NAMES = ("people", "sheet", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Load Dataset."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "From Load Face Recognizer."),
            },
            "optional": {
                "names": STRING(
                    "",
                    "A line for each row of the sheet: name, or name, trigger, class noun; - = nobody.",
                    multiline=True,
                ),
                "min_photographs": INT(2, 1, 1000, "Who is in fewer photographs has no row."),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, names: str | None = None) -> bool | str:
        return verdict(lambda: parse_names(names or ""))

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(
        self, dataset: Dataset, recognizer: FaceRecognizer, names: str = "", min_photographs: int = 2
    ) -> dict[str, Any]:
        host = current_host()
        output = output_directory_for("", "found_people", without_masks(dataset), recognizer.identity)
        work = ItemWork(progress=host.progress())
        people, rows, report = find_people(dataset, recognizer, parse_names(names), output, min_photographs, work)
        OUTPUTS.note(output)
        sheet_HWC = found_people_sheet(rows)
        said = [*report["warnings"], report["text"]]
        result = (people, image_from_pictures([sheet_HWC]), as_json(report))
        return with_report(result, said, [sheet_HWC], "found_people", said=report["text"].splitlines()[:MOST_ROWS])


def without_masks(dataset: Dataset) -> Dataset:
    """The dataset as far as its photographs go, which alone say who is in them."""
    return replace(dataset, items=tuple(replace(item, mask_path=None) for item in dataset.items), left_out=())


class MaskLossKeepPeople(Node):
    TITLE = "Keep People (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Each photograph becomes one item per person of the list, in which only that person has weight."
    SEARCH_ALIASES = ("several people", "multiple characters", "couple", "family", "group photo", "face match")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Build Masks, or any dataset with masks."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "The one that read the reference faces."),
                "people": SOCKET(PEOPLE, "From People, or from Find People."),
                "person_segmenter": SOCKET(PERSON_SEGMENTER, "From Load Person Segmenter."),
            },
            "optional": {
                "min_similarity": FLOAT(0.0, 0, 1, 0.01, "How alike a face must be; 0 = the recogniser's own value."),
                "margin": RARE(FLOAT(0.05, 0, 1, 0.01, "How far who is whom must be ahead of every other assignment.")),
                "on_no_match": COMBO(("skip", "error", "empty"), "What to do where a person cannot be told apart."),
                "dilate_px": RARE(
                    INT(0, 0, 512, "The person's mask grows by so many pixels, but never into the others'.")
                ),
                "feather_px": RARE(INT(0, 0, 512, "Outside it the weights fall off over so many pixels.")),
                "instance_directory": RARE(
                    STRING("", "Each person's own masks: written here, and used where they lie.")
                ),
                "output_directory": STRING("", "Under output; empty = maskloss/people/<the photographs' folder>."),
                "overwrite": RARE(BOOLEAN(False, "Replace files that were edited by hand.")),
                "choices": RARE(
                    STRING("", "item=face_index per line, for items of the report where you choose.", multiline=True)
                ),
                "video_every": RARE(video_every()),
                "caption_template": STRING(
                    TEMPLATE, "A text with trigger, class_noun, name and caption, each in curly brackets."
                ),
                "together": FLOAT(
                    0.0, 0, 0.95, 0.01, "Fraction of an epoch of items with everyone in a photograph; 0 = none."
                ),
                "others_weight": RARE(INT(0, 0, 255, "How much of their weight the others keep in a person's item.")),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, choices: str | None = None, caption_template: str | None = None) -> bool | str:
        return verdict(lambda: (parse_choices(choices or ""), CaptionTemplate(caption_template or "")))

    @classmethod
    def IS_CHANGED(cls, instance_directory: str | None = None, output_directory: str | None = None, **_: object) -> str:
        return digest_kept(output_directory or "maskloss/people", instance_directory or "")

    def run(
        self,
        dataset: Dataset,
        recognizer: FaceRecognizer,
        people: tuple[Person, ...],
        person_segmenter: PersonSegmenter,
        min_similarity: float = 0.0,
        margin: float = 0.05,
        on_no_match: str = "skip",
        dilate_px: int = 0,
        feather_px: int = 0,
        instance_directory: str = "",
        output_directory: str = "",
        overwrite: bool = False,
        choices: str = "",
        video_every: int = VIDEO_EVERY,
        caption_template: str = TEMPLATE,
        together: float = 0.0,
        others_weight: int = 0,
    ) -> dict[str, Any]:
        host = current_host()
        instances, writable = instance_masks(instance_directory)
        match = MatchRules(min_similarity, margin, on_no_match=OnNoMatch(on_no_match))
        who = tuple((person.name, person.identity.fingerprint, person.weights) for person in people)
        output = output_directory_for(
            output_directory, "people", dataset, who, match, dilate_px, feather_px, others_weight
        )
        dataset, report = keep_people(
            dataset,
            people,
            PersonSearch(
                recognizer, tuple(person.identity for person in people), person_segmenter, match, parse_choices(choices)
            ),
            PersonOutput(output, dilate_px, feather_px, instances, writable, overwrite),
            PeopleRules(caption_template, together, others_weight),
            ItemWork(video_every, progress=host.progress(), spread=host.spread()),
        )
        OUTPUTS.note(output)
        sheets = people_sheets(dataset, [person.name for person in people], SHEET_COLUMNS, SHEET_LIMIT)
        offer_help(person_segmenter, recognizer)
        more = {
            "viewer": viewed(dataset, self.TITLE, report["items"]),
            "said": people_words(report),
            "table": person_table(report),
        }
        return with_report((dataset, as_json(report)), [*report["warnings"], report["text"]], sheets, "people", **more)


def own_weights() -> dict[str, Declaration]:
    """The widgets of one person's own weights."""
    tip = "0 to 255; -1 = as in the masks."
    return {
        "face_weight": RARE(INT(-1, -1, 255, f"Face. {tip}")),
        "hair_weight": RARE(INT(-1, -1, 255, f"Hair. {tip}")),
        "body_weight": RARE(INT(-1, -1, 255, f"Body and clothes. {tip}")),
        "background_weight": RARE(INT(-1, -1, 255, f"What the masks count as background inside the person's. {tip}")),
    }


NODES = (MaskLossPeople, MaskLossFindPeople, MaskLossKeepPeople)
