"""The photographs of a run for the viewer on its page: pictures, masks and what is known of them, as files that need no
server. `_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..alpha import weights_to_uint8
from ..dataset.buckets import bucket_for
from ..dataset.items import DatasetItem, MaskOrigin
from ..draw.sheet import shrink
from ..files import read_text, write_bytes, write_text
from ..fingerprints import fingerprint_of
from ..people.decision import PersonDecision, doubt
from .joined_modules import join_modules

FOLDER = "viewer"
LONGEST_PX = 1024
_QUALITY = 88
_DIGITS = 20
_OURS = re.compile(r"[0-9a-f]{20}\.(jpg|js)")
_WEB = Path(__file__).resolve().parents[2] / "web" / "viewer"
_SCRIPT, _STYLE, _ITEMS = "viewer.js", "viewer.css", "items.js"


class LookThrough:
    """The folder `viewer` beside a page. Pictures are named by their content, so that an older page keeps its own."""

    def __init__(self, page_directory: Path) -> None:
        self._directory = page_directory / FOLDER
        self._rows: list[dict[str, Any]] = []
        self._written: set[str] = set()

    def add(
        self, item: DatasetItem, rgb_HWC: np.ndarray, weights_HW: np.ndarray | None, origin: MaskOrigin,
        left_out: str = "",
    ) -> None:  # fmt: skip
        """A photograph of the run: uint8 RGB, and the weights that it is trained with, float32 in [0, 1]; None: all of
        it counts fully. `left_out`: why it is not trained on, so that nothing of it counts."""
        small_HWC = shrink(rgb_HWC, LONGEST_PX)
        height, width = small_HWC.shape[:2]
        mask_HW = np.full((height, width), 255, np.uint8)
        if weights_HW is not None:
            mask_HW = weights_to_uint8(_nearest(weights_HW, height, width))
        stream = io.BytesIO()
        Image.fromarray(small_HWC).save(stream, "JPEG", quality=_QUALITY)
        identifier = fingerprint_of(item.name)[:16]
        packed = base64.b64encode(zlib.compress(mask_HW.tobytes(), 6)).decode()
        size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
        self._rows.append({
            "id": identifier, "name": item.name, "person": item.subject, "width": width, "height": height,
            "video": False, "frames": 0, "still": 0,
            "bucket": list(bucket_for(size, item.settings)), "caption": item.caption,
            "mask": "out" if left_out else origin.value,
            "coverage": float(mask_HW.mean(dtype=np.float64)) / 255, "left_out": left_out, "by_hand": False,
            "done": False, "revision": "" if item.correction_path is None else "corrected", "other_base": False,
            "error": "", "faceless": 0, "face_by_hand": None, **_person(item, size),
            "picture": self._write("jpg", stream.getvalue()),
            "script": self._write("js", f"maskloss.mask({json.dumps(identifier)}, {json.dumps(packed)});\n".encode()),
        })  # fmt: skip

    def write(self, title: str, tiers: dict[str, int]) -> tuple[str, tuple[str, ...]] | None:
        """Write the rest, and name the style sheet and the scripts for the page, in their order; None where there is
        nothing to look through, or the viewer's files are not installed."""
        if not self._rows or not (_WEB / "page.js").is_file():
            return None
        told = json.dumps({"title": title, "tiers": tiers, "items": self._rows}, ensure_ascii=False)
        write_text(self._directory / _SCRIPT, join_modules(_WEB / "page.js"))
        write_text(self._directory / _STYLE, read_text(_WEB / _STYLE))
        write_text(self._directory / _ITEMS, f"maskloss.open({told});\n")
        return f"{FOLDER}/{_STYLE}", (f"{FOLDER}/{_SCRIPT}", f"{FOLDER}/{_ITEMS}")

    def remove_others(self) -> None:
        """Delete the pictures of earlier pages; call it when the new page is in place."""
        for path in self._directory.glob("*"):
            if _OURS.fullmatch(path.name) and path.name not in self._written:
                path.unlink(missing_ok=True)

    def _write(self, suffix: str, content: bytes) -> str:
        name = f"{hashlib.sha256(content).hexdigest()[:_DIGITS]}.{suffix}"
        path = self._directory / name
        if name not in self._written and not path.exists():
            write_bytes(path, content)
        self._written.add(name)
        return f"{FOLDER}/{name}"


def _person(item: DatasetItem, size: tuple[int, int]) -> dict[str, Any]:
    """What was decided about the person. Faces are those of a whole photograph, so that a crop or a video has none."""
    decision: PersonDecision | None = item.person
    if decision is None:
        return {"outcome": None, "reason": "", "doubt": None, "faces": []}
    faces = [] if item.is_video or item.crop is not None else [
        {
            "index": face.index,
            "box": [round(edge / side, 5) for edge, side in zip(face.box, size * 2, strict=True)],
            "similarity": face.similarity,
            "chosen": face.chosen,
        }
        for face in decision.faces
    ]  # fmt: skip
    told = {"outcome": decision.outcome.value, "reason": decision.reason, "doubt": list(doubt(decision))}
    return {**told, "faces": faces}


def _nearest(weights_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    """So that the tiers are the mask's own and no mixture."""
    rows = (np.arange(height) + 0.5) * weights_HW.shape[0] / height
    columns = (np.arange(width) + 0.5) * weights_HW.shape[1] / width
    return weights_HW[rows.astype(int)][:, columns.astype(int)]
