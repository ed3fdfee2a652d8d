"""One person's mask in a photograph of a dataset: sought by the face, or given by hand.

`_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.files import NameIndex
from ..dataset.items import DatasetItem, person_item_name
from ..dataset.turned import check_mask_fits
from ..errors import DatasetError, PersonError
from ..files import atomic_write
from ..fingerprints import fingerprint_of
from ..images import IMAGE_SUFFIXES, load_mask, save_image
from ..people.chosen import Box
from ..people.decision import MatchRules, OnNoMatch, PersonDecision
from ..people.faces import FaceRecognizer
from ..people.find_person import FoundPerson, find_people
from ..people.identity import Identity
from ..people.instances import PersonSegmenter
from ..people.own_hair import SeenHair
from ..resample import fit_mask
from ..video.reader import VIDEO_SUFFIXES
from .ledger import FileState, Ledger, open_ledger, target_for

INSTANCE_STEP = "KeepPerson (instance masks)"


@dataclass(frozen=True, eq=False)
class PersonSearch:
    """Who is looked for, with what, and by which rules: one person, or several, who never have one face. `choices` maps
    an item's name to the number of the face to keep; of several people each has an item of their own. Where somebody
    pointed at a face of the photograph itself, that one is kept instead if there is one person; where they pointed at
    it in one person's item, it is that person's."""

    recognizer: FaceRecognizer
    identities: tuple[Identity | None, ...]
    segmenter: PersonSegmenter
    rules: MatchRules
    choices: Mapping[str, int] = field(default_factory=dict[str, int])

    def fingerprint(self, item: DatasetItem, names: Sequence[str], person: int, photograph: str) -> str:
        """Hex; differs whenever another person, or another mask of that `person`, could come out of the item, the hash
        of whose file is `photograph`. `names`: what the item of each person is called."""
        models = (self.recognizer.identity, self.segmenter.identity)
        sought = ["" if identity is None else identity.fingerprint for identity in self.identities]
        rules = self._rules_for(item, names)
        # Whose a face is depends on everyone looked for.
        others = (sought, [each.face_index for each in rules]) if len(sought) > 1 else ()
        boxes = self._chosen_faces(item, names)
        by_hand = () if not any(boxes) else tuple(boxes)
        return fingerprint_of(photograph, *models, sought[person], rules[person], *others, *by_hand)

    def run(
        self, item: DatasetItem, names: Sequence[str], rgb_HWC: np.ndarray, seen: SeenHair | None = None
    ) -> list[tuple[np.ndarray, PersonDecision]]:
        """For each person mask_HW bool, with the hair of theirs that is `seen` (all False when nobody was chosen), and
        the decision. `names`: what the item of each is called. PersonError names the photograph."""
        rules = self._rules_for(item, names)
        try:
            found = self._find(item, names, rules, rgb_HWC, seen)
        except PersonError:
            if self.rules.on_no_match is not OnNoMatch.LARGEST:
                raise
            # A photograph without a face, which has no largest one: left out, rather than all the others stopped by it.
            skip = [replace(each, on_no_match=OnNoMatch.SKIP) for each in rules]
            found = self._find(item, names, skip, rgb_HWC, seen)
        return [(person.mask_HW, person.decision) for person in found]

    def _find(
        self,
        item: DatasetItem,
        names: Sequence[str],
        rules: list[MatchRules],
        rgb_HWC: np.ndarray,
        seen: SeenHair | None,
    ) -> list[FoundPerson]:
        boxes = self._chosen_faces(item, names)
        try:
            return find_people(rgb_HWC, self.recognizer, self.identities, self.segmenter, rules, seen, boxes)
        except PersonError as error:
            raise PersonError(f"{item.name}: {error}") from error

    def _rules_for(self, item: DatasetItem, names: Sequence[str]) -> list[MatchRules]:
        numbers = [
            self.choices.get(name) if box is None else None
            for name, box in zip(names, self._chosen_faces(item, names), strict=True)
        ]
        return [self.rules if number is None else replace(self.rules, face_index=number) for number in numbers]

    def _chosen_faces(self, item: DatasetItem, names: Sequence[str]) -> list[Box | None]:
        """Where somebody pointed at each person's face."""
        by_name = {person_item_name(item.name, each.person): each.chosen_face for each in item.people_by_hand}
        own = item.chosen_face if len(self.identities) == 1 else None
        return [by_name.get(name) or own for name in names]


class InstanceMasks:
    """The directory of binary masks of the person. Ours are written and renewed; a person's are used as they are.

    Without a ledger nothing is written, and everything that lies in `directory` was made elsewhere.
    """

    def __init__(self, directory: Path | None, ledger: Ledger | None, items: Sequence[DatasetItem]) -> None:
        self._directory, self._ledger = directory, ledger
        self._found: dict[bool, NameIndex] = {}
        if directory is not None and directory.is_dir():
            names = [item.name for item in items]
            photographs = NameIndex(directory, IMAGE_SUFFIXES, "instance mask", names)
            media = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
            videos = NameIndex(directory, media, "instance mask", names, folders_of=IMAGE_SUFFIXES)
            self._found = {False: photographs, True: videos}

    def find_given(self, item: DatasetItem, fingerprint: str) -> Path | None:
        """The mask of `item` that someone put there or edited, if there is one: by the name that ours has, or as a file
        of a `mask_directory` is found.

        DatasetError when two could be meant, and when it was edited for another search than this one, so that it may
        show somebody else.
        """
        found = self._found[item.is_video].find(item.name) if self._found else None
        if found is not None and found.resolve() == item.media_path.resolve():
            raise DatasetError(
                f"The instance_directory {self._directory} holds the photograph {item.name} itself; give a folder of "
                "masks."
            )
        if self._directory is None or self._ledger is None:
            return found
        target = target_for(item, self._directory)
        if found is not None and found != target and not target.exists():
            # What was made for another item of that name, or for those in a folder of that name, is not this one's.
            own = found.relative_to(self._directory).with_suffix("").as_posix()
            inside = [f"{own}/{file.stem}" for file in found.iterdir()] if found.is_dir() else []
            return found if all(self._ledger.record(name) is None for name in (own, *inside)) else None
        state = self._ledger.state(item.name, target, fingerprint)
        record = self._ledger.record(item.name)
        if state is FileState.EDITED and record is not None and record.fingerprint != fingerprint:
            raise DatasetError(
                f"The instance mask {target} was edited by hand for another person, photograph or setting; "
                "delete it to have it made again."
            )
        return target if state in (FileState.EDITED, FileState.FOREIGN) else None

    def is_current(self, item: DatasetItem, fingerprint: str) -> bool:
        """Whether nothing is to be written for `item`, none being given."""
        if self._directory is None or self._ledger is None:
            return True
        state = self._ledger.state(item.name, target_for(item, self._directory), fingerprint)
        return state not in (FileState.ABSENT, FileState.OUTDATED)

    def write(self, item: DatasetItem, fingerprint: str, instance_HW: np.ndarray | None) -> None:
        """Write the mask of `item` (bool; None: the photograph is left out, and a mask of ours goes)."""
        if self._directory is None or self._ledger is None:
            return
        target = target_for(item, self._directory)
        self._ledger.begin(item.name, fingerprint)
        if instance_HW is None:
            target.unlink(missing_ok=True)
        else:
            save_image(target, weights_to_uint8(instance_HW.astype(np.float32)))
        self._ledger.finish(item.name, fingerprint, None if instance_HW is None else target, {})

    def write_video(self, item: DatasetItem, fingerprint: str, masks: Path) -> None:
        """Keep a copy of the mask video `masks` as that of `item`."""
        if self._directory is None or self._ledger is None:
            return
        target = target_for(item, self._directory)
        self._ledger.begin(item.name, fingerprint)
        with atomic_write(target) as temporary:
            shutil.copyfile(masks, temporary)
        self._ledger.finish(item.name, fingerprint, target, {})


@contextmanager
def open_instances(
    directory: Path | None, items: Sequence[DatasetItem], writable: bool
) -> Generator[InstanceMasks, None, None]:
    """The instance masks of `directory` for `items`; without one, none are kept."""
    with ExitStack() as opened:
        ledger = (
            None if directory is None or not writable else opened.enter_context(open_ledger(directory, INSTANCE_STEP))
        )
        yield InstanceMasks(directory, ledger, items)


def read_instance(path: Path, item: DatasetItem, size: tuple[int, int]) -> np.ndarray:
    """A given instance mask, read as the dataset's `mask_meaning` says, as mask_HW bool at the photograph's (width,
    height). ImageError on another aspect."""
    mask_HW = load_mask(path, item.settings.mask_meaning)
    check_mask_fits(item, size, (mask_HW.shape[1], mask_HW.shape[0]))
    return fit_mask(mask_HW, size, size) >= 128
