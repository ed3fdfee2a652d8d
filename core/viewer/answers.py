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
| POST | …/{item}/correction?revision=&left=&top=&width=&height= | a stroke: values, then painted, zlib |
| POST | …/{item}/keep | {"revision"}: the mask under the correction is as it should be |
| POST | …/{item}/revert | {"revision"} |
| POST | …/{item}/marks | {"done", "left_out"} |
| POST | …/{item}/caption | {"text", "was"} |

Nothing that somebody made is changed by a GET. A POST has a type that browsers send to another site only when that
allows it: application/json or application/octet-stream.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..corrections.override import NO_REVISION, PaintedOver, read_correction, revision_of
from ..corrections.store import Marks, Patch, StaleRevisionError
from ..dataset.corrected import base_of
from ..dataset.items import DatasetItem
from ..errors import ImageError, PathError, SettingError, UserError
from ..files import write_text
from .facts import caption_of, caption_path_of, dataset_facts, item_facts, size_of
from .pictures import Pictures, mask_of, mask_thumbnail
from .viewed import ViewedDataset, ViewedDatasets, ViewedItem, photograph_hash

PREFIX = "/maskloss/viewer"
EVENT = "maskloss.corrected"
MOST_BYTES = 64 * 1024 * 1024
MOST_LETTERS = 20_000
REVISION, COVERAGE, SIZE = "X-MaskLoss-Revision", "X-MaskLoss-Coverage", "X-MaskLoss-Size"
_JSON, _BYTES = "application/json", "application/octet-stream"
_FAST = 1


@dataclass(frozen=True)
class Request:
    """`query` are the parameters of the address, `content_type` without parameters; the ids are as they came."""

    dataset: str
    item: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, value: object, status: int = 200) -> Answer:
        """JSON."""
        return cls(status, _JSON, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


class _RefusedError(UserError):
    """A request that is answered with another status than 400."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with an event and its content, for every browser that is open."""


class Answers:
    """The routes over `datasets`. `tell` hears {"dataset", "item", "revision", "client"} of each change."""

    def __init__(self, datasets: ViewedDatasets, tell: Tell) -> None:
        self._datasets, self._tell = datasets, tell
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
            ("POST", f"{item}/correction", self.paint),
            ("POST", f"{item}/keep", self.keep),
            ("POST", f"{item}/revert", self.revert),
            ("POST", f"{item}/marks", self.mark),
            ("POST", f"{item}/caption", self.caption),
        )
        return tuple((method, path, _answering(does)) for method, path, does in named)

    def list_items(self, request: Request) -> Answer:
        return Answer.of(dataset_facts(self._dataset(request)))

    def facts(self, request: Request) -> Answer:
        return Answer.of(self._facts(*self._find(request)))

    def thumbnail(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        return Answer(200, "image/jpeg", self._pictures_of(dataset).thumbnail(viewed.item), _KEPT)

    def mask_thumbnail(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        png, coverage = mask_thumbnail(dataset.corrected(viewed))
        return Answer(200, "image/png", png, {COVERAGE: f"{coverage:.6f}", **_FRESH})

    def tile(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        place = (_number(request, name) for name in ("level", "column", "row"))
        return Answer(200, "image/jpeg", self._pictures_of(dataset).tile(viewed.item, *place), _KEPT)

    def mask(self, request: Request) -> Answer:
        _, viewed = self._find(request)
        mask_HW, _ = mask_of(viewed.item)
        return _packed(mask_HW.tobytes(), {SIZE: f"{mask_HW.shape[1]}x{mask_HW.shape[0]}"})

    def correction(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        item = dataset.corrected(viewed)
        width, height = size_of(item)
        if item.correction_path is None:
            return _packed(bytes(2 * width * height), {REVISION: NO_REVISION})
        revision = revision_of(item.correction_path)
        read = read_correction(item.correction_path)
        if read.size != (width, height):
            raise ImageError(f"The correction of {item.name} is of another size than its photograph; revert it.")
        planes = (read.values_HW.tobytes(), (read.painted_HW * np.uint8(255)).tobytes())
        return _packed(b"".join(planes), {REVISION: revision})

    def paint(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        item = _corrigible(viewed)
        _check_type(request, _BYTES)
        size = size_of(item)
        left, top, width, height = (_number(request, name) for name in ("left", "top", "width", "height"))
        if not (0 < width <= size[0] and 0 < height <= size[1]):
            raise ImageError(f"a stroke of {width}x{height} does not lie inside {size[0]}x{size[1]}")
        planes = np.frombuffer(_unpacked(request.body, 2 * width * height), np.uint8).reshape(2, height, width)
        patch = Patch(left, top, planes[0], planes[1] >= 128)
        revision = dataset.store.paint(
            item.media_path, size, patch, _over(item), self._checked_revision(request, dataset, item)
        )
        return self._changed(request, dataset, viewed, revision)

    def keep(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        item = _corrigible(viewed)
        revision = _text(_content(request), "revision")
        new = dataset.store.paint(item.media_path, size_of(item), None, _over(item), revision)
        return self._changed(request, dataset, viewed, new)

    def revert(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        dataset.store.revert(_corrigible(viewed).media_path, _text(_content(request), "revision"))
        return self._changed(request, dataset, viewed, NO_REVISION)

    def mark(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        content = _content(request)
        marks = Marks(content.get("done") is True, content.get("left_out") is True)
        dataset.store.mark(viewed.item.media_path, marks)
        self._say(request, dataset, viewed)
        return Answer.of(self._facts(dataset, viewed))

    def caption(self, request: Request) -> Answer:
        dataset, viewed = self._find(request)
        content = _content(request)
        text, was = _text(content, "text").strip(), _text(content, "was")
        if len(text) > MOST_LETTERS or "\0" in text:
            raise SettingError(f"A caption has {MOST_LETTERS} letters at most, none of them of code 0; shorten it.")
        if caption_of(viewed.item) != was:
            raise _RefusedError(409, "The caption was changed elsewhere meanwhile; load it again, then go on.")
        path = caption_path_of(viewed.item)
        if text or path.exists():
            write_text(path, text + "\n")
        self._say(request, dataset, viewed)
        return Answer.of(self._facts(dataset, viewed))

    def _dataset(self, request: Request) -> ViewedDataset:
        dataset = self._datasets.find(request.dataset)
        if dataset is None:
            raise _RefusedError(404, "This dataset is not open any more; run the workflow again.")
        return dataset

    def _find(self, request: Request) -> tuple[ViewedDataset, ViewedItem]:
        dataset = self._dataset(request)
        viewed = dataset.find(request.item)
        if viewed is None:
            raise _RefusedError(404, "The dataset has no such item; load the page again.")
        return dataset, viewed

    def _facts(self, dataset: ViewedDataset, viewed: ViewedItem) -> dict[str, Any]:
        media = viewed.item.media_path
        return item_facts(dataset, viewed, dataset.store.marks(media.parent).get(media.name, Marks()))

    def _pictures_of(self, dataset: ViewedDataset) -> Pictures:
        return self._pictures.setdefault(str(dataset.pictures), Pictures(dataset.pictures))

    def _checked_revision(self, request: Request, dataset: ViewedDataset, item: DatasetItem) -> str:
        """The revision that a stroke belongs to. A correction of another photograph of that name goes first."""
        revision = request.query.get("revision", NO_REVISION)
        path = dataset.store.find(item.media_path)
        shown = dataset.find(request.item)
        if path is not None and shown is not None and dataset.corrected(shown).correction_path is None:
            dataset.store.revert(item.media_path)
        return revision

    def _changed(self, request: Request, dataset: ViewedDataset, viewed: ViewedItem, revision: str) -> Answer:
        self._say(request, dataset, viewed, revision)
        return Answer.of({"revision": revision})

    def _say(self, request: Request, dataset: ViewedDataset, viewed: ViewedItem, revision: str | None = None) -> None:
        client = request.query.get("client", "")[:64]
        self._tell(EVENT, {"dataset": dataset.id, "item": viewed.id, "revision": revision, "client": client})


_KEPT: Mapping[str, str] = {"Cache-Control": "private, max-age=3600"}
_FRESH: Mapping[str, str] = {"Cache-Control": "no-store"}


def _answering(does: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        try:
            return does(request)
        except StaleRevisionError as error:
            return Answer.of({"error": str(error), "revision": error.revision}, 409)
        except _RefusedError as error:
            return Answer.of({"error": str(error)}, error.status)
        except UserError as error:
            return Answer.of({"error": str(error)}, 400)

    return answer


def _corrigible(viewed: ViewedItem) -> DatasetItem:
    if viewed.item.is_video:
        raise SettingError(f"{viewed.item.name} is a video, whose masks cannot be corrected here; edit its mask video.")
    return viewed.item


def _over(item: DatasetItem) -> PaintedOver:
    media = item.media_path
    return PaintedOver(photograph_hash(media), base_of(item), str(media.absolute()))


def _packed(content: bytes, headers: Mapping[str, str]) -> Answer:
    return Answer(200, _BYTES, zlib.compress(content, _FAST), {**headers, **_FRESH})


def _unpacked(body: bytes, length: int) -> bytes:
    """Exactly so many bytes. ImageError for anything else, however much it would unpack to."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, length + 1)
    except zlib.error as error:
        raise ImageError(f"a stroke is damaged ({error}); paint it again") from error
    if len(content) != length:
        raise ImageError(f"a stroke has another length than its {length} bytes; paint it again")
    return content


def _check_type(request: Request, wanted: str) -> None:
    if request.content_type != wanted:
        raise _RefusedError(415, f"The request is {request.content_type or 'of no type'}; send {wanted}.")


def _content(request: Request) -> Mapping[str, Any]:
    _check_type(request, _JSON)
    try:
        content: Any = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"The request is no JSON ({error}); load the page again.") from error
    if not isinstance(content, dict):
        raise SettingError("The request is no JSON object; load the page again.")
    return content


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise SettingError(f"The request has no text {name}; load the page again.")
    return value


def _number(request: Request, name: str) -> int:
    text = request.query.get(name, "")
    if not text.isdecimal() or len(text) > 6 or not text.isascii():
        raise PathError(f"{name} is {text[:20]!r} and no number; load the page again.")
    return int(text)
