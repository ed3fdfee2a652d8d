"""Build Masks (Dataset), Keep Person (Dataset)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.dataset.items import Dataset
from ..core.errors import SettingError
from ..core.host import current_host
from ..core.masks.build_masks import Reuse, build_masks
from ..core.masks.each_item import VIDEO_EVERY, ItemWork
from ..core.masks.keep_person import PersonOutput, keep_person
from ..core.masks.person_report import person_table
from ..core.masks.person_search import PersonSearch
from ..core.parts.part_map import PartSegmenter
from ..core.parts.tiers import TierWeights, parse_class_weights
from ..core.paths import resolve_read_or_write
from ..core.people.decision import MatchRules, OnNoMatch
from ..core.people.faces import FaceRecognizer
from ..core.people.identity import Identity
from ..core.people.instances import PersonSegmenter
from ..core.report.previews import dataset_sheet, masks_sheet
from .checks import verdict
from .node import Node
from .output_folders import earlier_directories, output_directory_for, parts_directory
from .results import as_json, digest_edits, with_report
from .sockets import (
    BOOLEAN,
    COMBO,
    DATASET,
    FACE_RECOGNIZER,
    FLOAT,
    IDENTITY,
    INT,
    PART_SEGMENTER,
    PERSON_SEGMENTER,
    RARE,
    SOCKET,
    STRING,
    Declaration,
    tier_inputs,
)
from .viewing import offer_help, viewed
from .written import OUTPUTS

# What the nodes show when they are done: the most doubtful ones of any number.
SHEET_COLUMNS, SHEET_LIMIT = 4, 12


class MaskLossDatasetBuildMasks(Node):
    TITLE = "Build Masks (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "A tiered weight mask for every photograph that has none."
    SEARCH_ALIASES = ("face mask", "batch mask", "tiered mask", "human parsing")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Load Dataset."),
                "segmenter": SOCKET(PART_SEGMENTER, "From Load Part Segmenter."),
            },
            "optional": {
                "person_segmenter": SOCKET(PERSON_SEGMENTER, "Whoever it finds and the segmenter misses is body too."),
                **tier_inputs(),
                "output_directory": STRING("", "Under output; empty = maskloss/masks/<the photographs' folder>."),
                "overwrite": RARE(BOOLEAN(False, "Replace masks that are there already.")),
                "video_every": RARE(video_every()),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, class_weights: str | None = None) -> bool | str:
        return verdict(lambda: parse_class_weights(class_weights or ""))

    @classmethod
    def IS_CHANGED(cls, output_directory: str | None = None, **_: object) -> str:
        return OUTPUTS.is_changed() + digest_edits(output_directory or "maskloss/masks")

    def run(
        self,
        dataset: Dataset,
        segmenter: PartSegmenter,
        person_segmenter: PersonSegmenter | None = None,
        face_weight: int = 255,
        hair_weight: int = 80,
        body_weight: int = 128,
        background_weight: int = 0,
        class_weights: str = "",
        output_directory: str = "",
        overwrite: bool = False,
        video_every: int = VIDEO_EVERY,
    ) -> dict[str, Any]:
        classes = parse_class_weights(class_weights)
        tiers = TierWeights(face_weight, hair_weight, body_weight, background_weight, classes)
        people = () if person_segmenter is None else (person_segmenter.identity,)
        output = output_directory_for(output_directory, "masks", dataset, segmenter.identity, tiers, *people)
        host = current_host()
        earlier = [] if output_directory.strip() else earlier_directories(output)
        dataset, report = build_masks(
            dataset,
            segmenter,
            tiers,
            output,
            person_segmenter,
            Reuse(overwrite, parts_directory(), earlier),
            ItemWork(video_every, progress=host.progress(), spread=host.spread()),
        )
        OUTPUTS.note(output)
        sheet_HWC = masks_sheet(dataset, report, SHEET_COLUMNS, SHEET_LIMIT)
        if person_segmenter is not None:
            offer_help(person_segmenter)
        view = viewed(dataset, self.TITLE, report["items"])
        return with_report((dataset, as_json(report)), report["messages"], [sheet_HWC], "masks", viewer=view)


class MaskLossDatasetKeepPerson(Node):
    TITLE = "Keep Person (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Only the one person keeps weight. Photographs in which they cannot be told apart are left out."
    SEARCH_ALIASES = ("face match", "isolate person", "bystanders")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Build Masks, or any dataset with masks."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "The one that read the reference faces."),
                "identity": SOCKET(IDENTITY, "From Reference Faces."),
                "person_segmenter": SOCKET(PERSON_SEGMENTER, "From Load Person Segmenter."),
            },
            "optional": {
                "min_similarity": FLOAT(0.0, 0, 1, 0.01, "How alike a face must be; 0 = the recogniser's own value."),
                "margin": RARE(FLOAT(0.05, 0, 1, 0.01, "How far the best face must be ahead of the second.")),
                "on_no_match": COMBO(
                    ("skip", "error", "empty", "largest"), "What to do where the person cannot be told apart."
                ),
                "dilate_px": RARE(INT(0, 0, 512, "The person's mask grows by so many pixels.")),
                "feather_px": RARE(INT(0, 0, 512, "Outside it the weights fall off over so many pixels.")),
                "instance_directory": RARE(
                    STRING("", "The person's own masks: written here, and used where they lie.")
                ),
                "output_directory": STRING("", "Under output; empty = maskloss/person/<the photographs' folder>."),
                "overwrite": RARE(BOOLEAN(False, "Replace files that were edited by hand.")),
                "choices": RARE(
                    STRING("", "name=face_index per line, for photographs where you choose.", multiline=True)
                ),
                "video_every": RARE(video_every()),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, choices: str | None = None) -> bool | str:
        return verdict(lambda: parse_choices(choices or ""))

    @classmethod
    def IS_CHANGED(cls, instance_directory: str | None = None, output_directory: str | None = None, **_: object) -> str:
        return digest_kept(output_directory or "maskloss/person", instance_directory or "")

    def run(
        self,
        dataset: Dataset,
        recognizer: FaceRecognizer,
        identity: Identity,
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
    ) -> dict[str, Any]:
        host = current_host()
        instances, writable = instance_masks(instance_directory)
        rules = MatchRules(min_similarity, margin, on_no_match=OnNoMatch(on_no_match))
        made_with = (identity.fingerprint, rules, dilate_px, feather_px)
        output = output_directory_for(output_directory, "person", dataset, *made_with)
        dataset, report = keep_person(
            dataset,
            PersonSearch(recognizer, (identity,), person_segmenter, rules, parse_choices(choices)),
            PersonOutput(output, dilate_px, feather_px, instances, writable, overwrite),
            ItemWork(video_every, progress=host.progress(), spread=host.spread()),
        )
        OUTPUTS.note(output)
        sheet_HWC = dataset_sheet(dataset, SHEET_COLUMNS, limit=SHEET_LIMIT)
        offer_help(person_segmenter, recognizer)
        messages, (counts, rows) = [*report["warnings"], report["text"]], (report["counts"], person_table(report))
        found, gone = counts["items"], counts["left_out"]
        more = {
            "viewer": viewed(dataset, self.TITLE, report["items"]),
            "said": [f"Photographs: {found} found, {found - gone} kept, {gone} left out"],
            "table": rows,
        }
        return with_report((dataset, as_json(report)), messages, [sheet_HWC], "person", **more)


def instance_masks(directory: str) -> tuple[Path | None, bool]:
    """The folder of each person's own masks, None where none is named, and whether it may be written to."""
    if not directory.strip():
        return None, True
    return resolve_read_or_write(current_host().folders(), directory, "instance_directory")


def digest_kept(output: str, instances: str) -> str:
    """What IS_CHANGED says where people are kept: whether what was written, or one's own masks, changed."""
    return OUTPUTS.is_changed() + digest_edits(output) + digest_edits(instances)


def video_every() -> Declaration:
    """How often a video is looked at."""
    return INT(VIDEO_EVERY, 1, 1000, "Of a video every n-th frame is looked at; the others keep the mask before them.")


def parse_choices(text: str) -> dict[str, int]:
    """ "name=face_index" per line to a mapping. SettingError for a line of another form or a name given twice."""
    choices: dict[str, int] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, number = (piece.strip() for piece in line.rpartition("="))
        if not name or not number.isdecimal():
            raise SettingError(f"choices holds {line!r}; write name=face_index, such as holiday/beach=2")
        if name in choices:
            raise SettingError(f"choices names {name!r} twice; choose one face")
        choices[name] = int(number)
    return choices


NODES = (MaskLossDatasetBuildMasks, MaskLossDatasetKeepPerson)
