"""What the viewer's routes answer, without a web server: a request in, an answer out.

| | | |
|---|---|---|
| GET | /maskloss/viewer/{dataset} | `dataset_facts` |
| GET | …/{item} | `item_facts` |
| GET | …/{item}/thumbnail | JPEG |
| GET | …/{item}/mask-thumbnail | grey PNG, X-MaskLoss-Coverage |
| GET | …/{item}/tile?level=&column=&row= | JPEG |
| GET | …/{item}/mask | the mask under the correction: width·height bytes, zlib |
| GET | …/{item}/correction | values, then 255 where painted: 2·width·height bytes, zlib; X-MaskLoss-Revision |
| GET | …/{item}/frames | `timeline` of a video |
| POST | …/{item}/correction?revision=&left=&top=&width=&height= | a stroke: values, then painted, zlib |
| POST | …/{item}/keep | {"revision"}: the mask under the correction is as it should be |
| POST | …/{item}/revert | {"revision"} |
| POST | …/{item}/marks | {"done", "left_out"}, either or both |
| POST | …/{item}/face | {"index": whose face is the person's, or null} |
| POST | …/{item}/propose | {"on", "off": [[x, y]], "box"}: a region, 255 inside, zlib; X-MaskLoss-Place |
| POST | …/{item}/caption | {"text", "was"} |

Of a video tile, mask, correction, keep, revert and propose take a frame=; without it, it is the frame that stands for
the video. Nothing that somebody made is changed by a GET. A POST has a type that browsers send to another site only
when that allows it: application/json or application/octet-stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..corrections.marks import ChosenFace, Marks
from ..corrections.override import NO_REVISION
from ..corrections.store import Patch, StaleRevisionError
from ..dataset.items import DatasetItem
from ..errors import ImageError, PersonError, SettingError, UserError
from ..files import write_text
from ..resample import shrink_then_enlarge
from .corrigible import FRAME, corrigible, frame_of, timeline
from .facts import caption_of, caption_path_of, dataset_facts, in_fractions, item_facts, size_of
from .pictures import Pictures
from .proposals import WORK_PX, Proposals, pointing_of
from .request import (
    BYTES,
    FRESH,
    Answer,
    RefusedError,
    Request,
    check_type,
    content_of,
    number_of,
    packed,
    text_of,
    unpacked,
)
from .viewed import ViewedDataset, ViewedDatasets, ViewedItem, photograph_hash

PREFIX = "/maskloss/viewer"
EVENT = "maskloss.corrected"
MOST_BYTES = 64 * 1024 * 1024
MOST_LETTERS = 20_000
REVISION, COVERAGE, SIZE = "X-MaskLoss-Revision", "X-MaskLoss-Coverage", "X-MaskLoss-Size"
PLACE = "X-MaskLoss-Place"


Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with an event and its content, for every browser that is open."""


class Answers:
    """The routes over `datasets`. `tell` hears {"dataset", "item", "revision", "client"} of each change, and the
    "frame" of a video's."""

    def __init__(self, datasets: ViewedDatasets, tell: Tell, proposals: Proposals) -> None:
        self._datasets, self._tell, self._proposals = datasets, tell, proposals
        self._pictures: dict[str, Pictures] = {}

    def routes(self) -> tuple[tuple[str, str, Callable[[Request], Answer]], ...]:
        """(method, path below `PREFIX`, what answers), {dataset} and {item} being the ids."""
        item = "/{dataset}/{item}"
        named: tuple[tuple[str, str, Callable[[Request], Answer]], ...] = (
            ("GET", "/{dataset}", self.list_items),
            ("GET", item, self.facts),
            ("GET", f"{item}/thumbnail", self.thumbnail),
            ("GET", f"{item}/mask-thumbnail", self.mask_thumbnail),
            ("GET", f"{item}/tile", self.tile),
            ("GET", f"{item}/mask", self.mask),
            ("GET", f"{item}/correction", self.correction),
            ("GET", f"{item}/frames", self.frames),
            ("POST", f"{item}/correction", self.paint),
            ("POST", f"{item}/keep", self.keep),
            ("POST", f"{item}/revert", self.revert),
            ("POST", f"{item}/marks", self.mark),
            ("POST", f"{item}/face", self.face),
            ("POST", f"{item}/propose", self.propose),
            ("POST", f"{item}/caption", self.caption),
        )
        return tuple((method, path, _answering(does)) for method, path, does in named)

    def list_items(self, request: Request) -> Answer:
        return Answer.of({**dataset_facts(self._dataset(request)), "helper": self._proposals.name})

    def facts(self, request: Request) -> Answer:
        return Answer.of(self._facts(*self._find(request)))

    def thumbnail(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        return Answer(200, "image/jpeg", self._pictures_of(dataset).thumbnail(viewed.item), _KEPT)

    def mask_thumbnail(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        png, coverage = self._pictures_of(dataset).mask_thumbnail(dataset.corrected(viewed))
        return Answer(200, "image/png", png, {COVERAGE: f"{coverage:.6f}", **FRESH})

    def tile(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        level, column, row = (number_of(request, name) for name in ("level", "column", "row"))
        frame = frame_of(viewed.item, request) if FRAME in request.query else None
        return Answer(200, "image/jpeg", self._pictures_of(dataset).tile(viewed.item, level, column, row, frame), _KEPT)

    def frames(self, request: Request) -> Answer:
        return Answer.of(timeline(*self._find(request)))

    def mask(self, request: Request) -> Answer:
        mask_HW = corrigible(*self._find(request), request).base_HW()
        return packed(mask_HW.tobytes(), {SIZE: f"{mask_HW.shape[1]}x{mask_HW.shape[0]}"})

    def correction(self, request: Request) -> Answer:
        about = corrigible(*self._find(request), request)
        revision, read = about.read()
        if read is None:
            return packed(bytes(2 * about.size[0] * about.size[1]), {REVISION: revision})
        planes = (read.values_HW.tobytes(), (read.painted_HW * np.uint8(255)).tobytes())
        return packed(b"".join(planes), {REVISION: revision})

    def paint(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        about = corrigible(dataset, viewed, request)
        check_type(request, BYTES)
        size = about.size
        left, top, width, height = (number_of(request, name) for name in ("left", "top", "width", "height"))
        if not (0 < width <= size[0] and 0 < height <= size[1]):
            raise ImageError(f"a stroke of {width}x{height} does not lie inside {size[0]}x{size[1]}")
        planes = np.frombuffer(unpacked(request.body, 2 * width * height), np.uint8).reshape(2, height, width)
        patch = Patch(left, top, planes[0], planes[1] >= 128)
        revision = about.paint(patch, request.query.get("revision", NO_REVISION))
        return self._changed(request, dataset, viewed, revision)

    def keep(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        about = corrigible(dataset, viewed, request)
        return self._changed(request, dataset, viewed, about.keep(text_of(content_of(request), "revision")))

    def revert(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        about = corrigible(dataset, viewed, request)
        return self._changed(request, dataset, viewed, about.revert(text_of(content_of(request), "revision")))

    def mark(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        content = content_of(request)
        said = {name: content[name] for name in ("done", "left_out") if name in content}
        if not all(isinstance(value, bool) for value in said.values()):
            raise SettingError("done and left_out are true or false; load the page again.")
        dataset.store_of(viewed).mark(viewed.item.media_path, lambda marks: replace(marks, **said))
        return self._noted(request, dataset, viewed)

    def face(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        item = _photograph(viewed)
        index = content_of(request).get("index", -1)
        faces = [] if item.person is None else item.person.faces
        if index is not None and (type(index) is not int or not 0 <= index < len(faces)):
            raise SettingError(f"The photograph has {len(faces)} faces and no face {str(index)[:20]}; load it again.")
        chosen = None
        if index is not None:
            chosen = ChosenFace(in_fractions(faces[index].box, size_of(item)), photograph_hash(item.media_path))
        dataset.store_of(viewed).mark(item.media_path, lambda marks: replace(marks, face=chosen))
        return self._noted(request, dataset, viewed)

    def propose(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        item = viewed.item
        size = size_of(item)
        pointing = pointing_of(content_of(request), size)
        small_HWC, scale = self._pictures_of(dataset).at_most(item, WORK_PX, frame_of(item, request))
        small_HW = self._proposals.propose(small_HWC, pointing.scaled(scale))
        region_HW = shrink_then_enlarge(small_HW.astype(np.float32), size) > 0.5
        rows, columns = (np.flatnonzero(region_HW.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            raise PersonError("Nothing was found there; point at another place, or drag a box around what is meant.")
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        place = f"{left},{top},{right - left},{bottom - top}"
        return packed((region_HW[top:bottom, left:right] * np.uint8(255)).tobytes(), {PLACE: place})

    def caption(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        content = content_of(request)
        text, was = text_of(content, "text").strip(), text_of(content, "was")
        if len(text) > MOST_LETTERS or "\0" in text:
            raise SettingError(f"A caption has {MOST_LETTERS} letters at most, none of them of code 0; shorten it.")
        if caption_of(viewed.item) != was:
            raise RefusedError(409, "The caption was changed elsewhere meanwhile; load it again, then go on.")
        path = caption_path_of(viewed.item)
        if text or path.exists():
            write_text(path, text + "\n")
        return self._noted(request, dataset, viewed)

    def _dataset(self, request: Request) -> ViewedDataset:
        dataset = self._datasets.find(request.dataset)
        if dataset is None:
            raise RefusedError(404, "This dataset is not open any more; run the workflow again.")
        return dataset

    def _find(self, request: Request) -> tuple[ViewedDataset, ViewedItem]:
        dataset = self._dataset(request)
        viewed = dataset.find(request.item)
        if viewed is None:
            raise RefusedError(404, "The dataset has no such item; load the page again.")
        return dataset, viewed

    def _facts(self, dataset: ViewedDataset, viewed: ViewedItem) -> dict[str, Any]:
        media = viewed.item.media_path
        return item_facts(dataset, viewed, dataset.store_of(viewed).marks(media.parent).get(media.name, Marks()))

    def _pictures_of(self, dataset: ViewedDataset) -> Pictures:
        return self._pictures.setdefault(str(dataset.pictures), Pictures(dataset.pictures))

    def _noted(self, request: Request, dataset: ViewedDataset, viewed: ViewedItem) -> Answer:
        self._say(request, dataset, viewed)
        return Answer.of(self._facts(dataset, viewed))

    def _changed(self, request: Request, dataset: ViewedDataset, viewed: ViewedItem, revision: str) -> Answer:
        self._say(request, dataset, viewed, revision)
        return Answer.of({"revision": revision})

    def _say(self, request: Request, dataset: ViewedDataset, viewed: ViewedItem, revision: str | None = None) -> None:
        said: dict[str, Any] = {"dataset": dataset.id, "item": viewed.id, "revision": revision}
        if revision is not None and (frame := frame_of(viewed.item, request)) is not None:
            said["frame"] = frame
        self._tell(EVENT, {**said, "client": request.query.get("client", "")[:64]})


_KEPT: Mapping[str, str] = {"Cache-Control": "private, max-age=3600"}


def _answering(does: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        try:
            return does(request)
        except StaleRevisionError as error:
            return Answer.of({"error": str(error), "revision": error.revision}, 409)
        except RefusedError as error:
            return Answer.of({"error": str(error)}, error.status)
        except UserError as error:
            return Answer.of({"error": str(error)}, 400)

    return answer


def _photograph(viewed: ViewedItem) -> DatasetItem:
    if viewed.item.is_video:
        raise SettingError(f"{viewed.item.name} is a video, of whose faces none is chosen by hand; use references.")
    return viewed.item
