"""A mask that is corrected in the viewer: a photograph's, or that of one frame of a video.

`_HW` pixel grid; sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..corrections.frames import frame_path, frames_in
from ..corrections.override import NO_REVISION, Correction, PaintedOver, read_correction, revision_of
from ..corrections.store import Patch
from ..corrections.strokes import StaleRevisionError
from ..dataset.corrected import base_of
from ..dataset.items import DatasetItem
from ..dataset.load import still_of
from ..dataset.video_corrections import VideoCorrection, open_corrections
from ..errors import ImageError
from ..resample import Size
from ..video.reader import probe
from .facts import size_of
from .pictures import mask_of
from .request import RefusedError, Request, number_of
from .viewed import ViewedDataset, ViewedItem, photograph_hash

FRAME = "frame"


class Corrigible(Protocol):
    """What is the same of both. `revision` tells a state of the correction from every other one."""

    item: DatasetItem
    size: Size

    def base_HW(self) -> np.ndarray:
        """The mask under the correction, uint8."""
        ...

    def read(self) -> tuple[str, Correction | None]:
        """The revision and the correction."""
        ...

    def paint(self, patch: Patch, revision: str) -> str:
        """As `CorrectionStore.paint`."""
        ...

    def keep(self, revision: str) -> str:
        """The mask under the correction is as it should be; the new revision."""
        ...

    def revert(self, revision: str) -> str:
        """Take the correction of this revision away; the new revision."""
        ...


def corrigible(dataset: ViewedDataset, viewed: ViewedItem, request: Request) -> Corrigible:
    """What a request is about. RefusedError (404) where a video has no such frame."""
    return OfFrame(dataset, viewed, request) if viewed.item.is_video else OfPhotograph(dataset, viewed)


def frame_of(item: DatasetItem, request: Request) -> int | None:
    """The frame of a video that a request names, without a name the one that stands for it; None of a photograph.
    RefusedError (404) where there is no such frame."""
    if not item.is_video:
        return None
    frame = number_of(request, FRAME) if FRAME in request.query else still_of(item)[0]
    frames = probe(item.media_path).frames
    if frame >= frames:
        raise RefusedError(404, f"{item.name} has {frames} frames and no frame {frame}; load the page again.")
    return frame


class OfPhotograph:
    """Of a photograph."""

    def __init__(self, dataset: ViewedDataset, viewed: ViewedItem) -> None:
        self.item, self.size = viewed.item, size_of(viewed.item)
        self._dataset, self._viewed, self._store = dataset, viewed, dataset.store_of(viewed)

    def base_HW(self) -> np.ndarray:
        return mask_of(self.item)[0]

    def read(self) -> tuple[str, Correction | None]:
        path = self._dataset.corrected(self._viewed).correction_path
        if path is None:
            return NO_REVISION, None
        revision = revision_of(path)
        return revision, _checked(read_correction(path), self)

    def paint(self, patch: Patch, revision: str) -> str:
        media = self.item.media_path
        if self._dataset.corrected(self._viewed).correction_path is None:
            self._store.revert(media)  # that of another photograph of this name, if there is one
        return self._store.paint(media, self.size, patch, _over(self.item), revision)

    def keep(self, revision: str) -> str:
        return self._store.paint(self.item.media_path, self.size, None, _over(self.item), revision)

    def revert(self, revision: str) -> str:
        self._store.revert(self.item.media_path, revision)
        return NO_REVISION


class OfFrame:
    """Of one frame of a video, with what is carried to it from earlier ones."""

    def __init__(self, dataset: ViewedDataset, viewed: ViewedItem, request: Request) -> None:
        self.item, self.size = viewed.item, size_of(viewed.item)
        self._frame = frame_of(viewed.item, request) or 0
        self._dataset, self._viewed, self._store = dataset, viewed, dataset.store_of(viewed)
        self._path = frame_path(self._store.frames_of(self.item.media_path), self._frame)

    def base_HW(self) -> np.ndarray:
        return mask_of(self.item, self._frame)[0]

    def read(self) -> tuple[str, Correction | None]:
        path = self._painted()
        if path is not None:
            return revision_of(path), _checked(read_correction(path), self)
        video = self._video()
        correction = None if video is None else video.at(self._frame)
        if video is None or correction is None:
            return NO_REVISION, None
        return video.revision_at(self._frame), _checked(correction, self)

    def paint(self, patch: Patch, revision: str) -> str:
        media, start = self.item.media_path, None
        if self._folder() is None:
            self._store.revert(media)  # those of another video of this name, if there are any
        elif self._painted() is None:
            # What is carried to the frame is painted on; how it moves is found for that, but for no further stroke.
            now, start = self.read()
            if now != revision:
                raise StaleRevisionError(self._path, now)
            revision = NO_REVISION
        return self._store.paint_frame(media, self._frame, self.size, patch, _over(self.item), revision, start)

    def keep(self, revision: str) -> str:
        now, _ = self.read()
        if now != revision:
            raise StaleRevisionError(self._path, now)
        for frame in frames_in(self._path.parent):
            known = revision_of(frame_path(self._path.parent, frame))
            self._store.paint_frame(self.item.media_path, frame, self.size, None, _over(self.item), known)
        return self.read()[0]

    def revert(self, revision: str) -> str:
        if self._painted() is not None:
            self._store.revert_frame(self.item.media_path, self._frame, revision)
        return self.read()[0]

    def _folder(self) -> Path | None:
        return self._dataset.corrected(self._viewed).correction_path

    def _painted(self) -> Path | None:
        """The frame's own correction."""
        return self._path if self._folder() is not None and self._path.is_file() else None

    def _video(self) -> VideoCorrection | None:
        return video_correction(self._dataset, self._viewed)


def video_correction(dataset: ViewedDataset, viewed: ViewedItem) -> VideoCorrection | None:
    """What is painted on a video and carried on; None where nothing is."""
    path = dataset.corrected(viewed).correction_path
    return None if path is None else open_corrections(path, viewed.item.media_path)


def timeline(dataset: ViewedDataset, viewed: ViewedItem) -> Mapping[str, Any]:
    """{"frames": how many a video has, "still": the frame that stands for it, "painted": [frame], "carried": [[from
    which frame, first, last]]}. RefusedError (404) for a photograph."""
    item = viewed.item
    if not item.is_video:
        raise RefusedError(404, f"{item.name} is a photograph, which has no frames; load the page again.")
    video = video_correction(dataset, viewed)
    return {
        "frames": probe(item.media_path).frames,
        "still": still_of(item)[0],
        "painted": [] if video is None else list(video.painted),
        "carried": [] if video is None else [[span.source, span.first, span.last] for span in video.spans],
    }


def _checked(correction: Correction, of: Corrigible) -> Correction:
    if correction.size != of.size:
        raise ImageError(f"The correction of {of.item.name} is of another size than its photograph; revert it.")
    return correction


def _over(item: DatasetItem) -> PaintedOver:
    media = item.media_path
    return PaintedOver(photograph_hash(media), base_of(item), str(media.absolute()))
