"""A world that can be drawn: figures with hair, face and body before structured backgrounds, at three places.

Pictures are (32,32,3) float32 RGB in [0, 1]; part coverages are (32,32) float32 in [0, 1]; with `scale` 2 or 4 all that
is drawn has that many times the side. Everything follows from a `Scene`; what is random about one is drawn by
`draw_pose` from the caller's generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

SIDE_PX = 32
_FINE = 4  # figures are drawn this much larger and averaged down: the largest scale
Colour = tuple[float, float, float]

PLACES: Mapping[str, int] = {"left": 7, "middle": 16, "right": 25}
# Height of the figure in pixels.
SIZES: Mapping[str, float] = {"far": 17.0, "near": 25.0}
LEANS = (-0.12, 0.12)
_GROUND_PX = 29
_CANVAS_PX = 2 * SIDE_PX


@dataclass(frozen=True)
class Subject:
    """One figure: a body of one shape with a pattern of two colours, a face, and hair of one cut."""

    name: str
    shape: str
    pattern: str
    body: Colour
    stripe: Colour
    face: Colour
    hair: Colour
    cut: str


SUBJECTS: tuple[Subject, ...] = (
    Subject(
        "ana", "square", "plain", (0.85, 0.15, 0.15), (0.85, 0.15, 0.15), (0.95, 0.80, 0.65), (0.15, 0.10, 0.05), "long"
    ),
    Subject(
        "bob",
        "triangle",
        "rows",
        (0.15, 0.25, 0.80),
        (0.90, 0.90, 0.95),
        (0.55, 0.35, 0.20),
        (0.95, 0.85, 0.25),
        "short",
    ),
    Subject(
        "cid", "oval", "columns", (0.10, 0.55, 0.20), (0.85, 0.90, 0.30), (0.90, 0.70, 0.60), (0.75, 0.30, 0.05), "tall"
    ),
    Subject(
        "dot",
        "square",
        "checks",
        (0.95, 0.95, 0.95),
        (0.10, 0.10, 0.10),
        (0.70, 0.50, 0.35),
        (0.60, 0.60, 0.65),
        "short",
    ),
    Subject(
        "eva",
        "triangle",
        "plain",
        (0.95, 0.55, 0.10),
        (0.95, 0.55, 0.10),
        (0.85, 0.85, 0.80),
        (0.25, 0.15, 0.60),
        "tall",
    ),
    Subject(
        "fay", "oval", "checks", (0.45, 0.20, 0.55), (0.95, 0.70, 0.85), (0.60, 0.40, 0.30), (0.05, 0.25, 0.25), "long"
    ),
)
# Who the LoRA is of: no base subject has her colours, nor her shape with that pattern and cut.
NEW = Subject(
    "zoe", "square", "rows", (0.05, 0.65, 0.70), (0.95, 0.75, 0.15), (0.98, 0.88, 0.80), (0.85, 0.10, 0.55), "long"
)
FRIEND = SUBJECTS[1]

SHAPES, PATTERNS, CUTS = (
    ("square", "triangle", "oval"),
    ("plain", "rows", "columns", "checks"),
    ("short", "long", "tall"),
)
_INK: Colour = (0.10, 0.05, 0.10)

BACKGROUNDS = ("bands", "stripes", "tiles", "hills", "spots", "slopes")
PLANTED = "rings"


@dataclass(frozen=True)
class Pose:
    """What captions do not tell: to which side the figure leans. Scores try a pixel to each side of its place, too."""

    lean: float = 0.0
    dx_px: int = 0


@dataclass(frozen=True)
class Scene:
    """One picture. `bystander` stands far away at `bystander_place`; `watermark` is a mark in the lower corner."""

    subject: Subject
    size: str
    place: str
    background: str
    pose: Pose = Pose(LEANS[0])
    bystander: Subject | None = None
    bystander_place: str = "left"
    bystander_pose: Pose = Pose(LEANS[0])
    watermark: bool = False


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure on its own: colours, and how much of each pixel hair, face and body cover (they add up to 1 at most)."""

    rgb_HWC: np.ndarray
    hair_HW: np.ndarray
    face_HW: np.ndarray
    body_HW: np.ndarray

    @property
    def cover_HW(self) -> np.ndarray:
        return self.hair_HW + self.face_HW + self.body_HW


def draw_pose(generator: np.random.Generator) -> Pose:
    """A pose, each lean equally often."""
    return Pose(LEANS[int(generator.integers(len(LEANS)))])


def draw_stranger(generator: np.random.Generator) -> Subject:
    """Somebody without a name: shape, pattern, cut and colours at random."""
    shape, pattern, cut = (options[int(generator.integers(len(options)))] for options in (SHAPES, PATTERNS, CUTS))
    colours = generator.uniform(0.05, 0.95, (3, 3)).round(2).tolist()
    light = float(generator.uniform(0.35, 0.95))
    face = (light, 0.8 * light, 0.65 * light)
    return Subject("", shape, pattern, tuple(colours[0]), tuple(colours[1]), face, tuple(colours[2]), cut)


def render_scene(scene: Scene, scale: int = 1) -> np.ndarray:
    """(32,32,3) float32 RGB in [0, 1]. The watermark is behind the figures, so that a mask of them can leave it out."""
    picture_HWC = background_picture(scene.background, scale=scale)
    if scene.watermark:
        mark_HW1 = np.kron(watermark_cover(), np.ones((scale, scale), np.float32))[..., None]
        picture_HWC = picture_HWC * (1 - mark_HW1) + mark_HW1
    if scene.bystander is not None:
        other = place_figure(scene.bystander, "far", scene.bystander_place, scene.bystander_pose, scale)
        picture_HWC = _over(picture_HWC, other)
    picture_HWC = _over(picture_HWC, place_figure(scene.subject, scene.size, scene.place, scene.pose, scale))
    return picture_HWC.astype(np.float32)


def seen_figures(scene: Scene, scale: int = 1) -> tuple[Figure, Figure | None]:
    """The subject and the bystander, of whom only what the subject does not hide is covered."""
    subject = place_figure(scene.subject, scene.size, scene.place, scene.pose, scale)
    if scene.bystander is None:
        return subject, None
    other = place_figure(scene.bystander, "far", scene.bystander_place, scene.bystander_pose, scale)
    parts = (part_HW * (1 - subject.cover_HW) for part_HW in (other.hair_HW, other.face_HW, other.body_HW))
    return subject, Figure(other.rgb_HWC, *parts)


@lru_cache(maxsize=256)
def place_figure(subject: Subject, size: str, place: str, pose: Pose, scale: int = 1) -> Figure:
    """The figure where it stands; its feet are on the ground line."""
    drawn = _draw_figure(subject, SIZES[size], pose.lean, scale)
    top, left = _CANVAS_PX - _GROUND_PX, _CANVAS_PX // 2 - PLACES[place] - pose.dx_px
    seen = (slice(top * scale, (top + SIDE_PX) * scale), slice(left * scale, (left + SIDE_PX) * scale))
    return Figure(drawn.rgb_HWC[seen], drawn.hair_HW[seen], drawn.face_HW[seen], drawn.body_HW[seen])


@cache
def background_picture(name: str, shift_px: tuple[int, int] = (0, 0), scale: int = 1) -> np.ndarray:
    """(32,32,3) float32 RGB: the background `name`, its pattern moved by (right, down) pixels."""
    y, x = np.mgrid[0 : SIDE_PX * scale, 0 : SIDE_PX * scale].astype(np.float32) / scale
    x, y = x - shift_px[0], y - shift_px[1]
    if name == "bands":
        return _mix(np.floor(y / 4) % 2, (0.55, 0.75, 0.95), (0.20, 0.40, 0.70))
    if name == "stripes":
        return _mix(np.floor(x / 3) % 2, (0.95, 0.92, 0.80), (0.75, 0.55, 0.35))
    if name == "tiles":
        return _mix((np.floor(x / 4) + np.floor(y / 4)) % 2, (0.80, 0.80, 0.80), (0.35, 0.40, 0.45))
    if name == "hills":
        sky_HWC = _mix(np.clip(y / 18, 0, 1), (0.35, 0.60, 0.95), (0.90, 0.95, 1.00))
        ground = (y > 20 + 2 * np.sin(x / 3)).astype(np.float32)[..., None]
        return (sky_HWC * (1 - ground) + np.array((0.30, 0.60, 0.25), np.float32) * ground).astype(np.float32)
    if name == "spots":
        near = ((x % 6 - 2.5) ** 2 + (y % 6 - 2.5) ** 2 < 4.0).astype(np.float32)
        return _mix(near, (0.15, 0.35, 0.25), (0.75, 0.90, 0.55))
    if name == "slopes":
        return _mix(np.floor((x + y) / 4) % 2, (0.95, 0.80, 0.80), (0.70, 0.35, 0.40))
    if name == PLANTED:
        radius = np.sqrt((x - 15.5) ** 2 + (y - 10) ** 2)
        return _mix(np.floor(radius / 3) % 2, (0.95, 0.45, 0.30), (0.30, 0.10, 0.45))
    raise ValueError(f"unknown background {name!r}; known are {', '.join((*BACKGROUNDS, PLANTED))}")


@cache
def watermark_cover() -> np.ndarray:
    """(32,32) float32: a white mark of 6×5 px in the lower right corner."""
    cover_HW = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for row, line in enumerate(("#....#", "##..##", "#.##.#", "#.##.#", "#....#")):
        for column, letter in enumerate(line):
            cover_HW[SIDE_PX - 6 + row, SIDE_PX - 7 + column] = letter == "#"
    return cover_HW


def write_caption(
    subject: str | None, size: str, place: str, background: str | None = None, bystander: str | None = None
) -> str:
    """Such as "zoe figure near left tiles with_bob"; what is None is not told."""
    beside = f"with_{bystander}" if bystander else None
    return " ".join(word for word in (subject, "figure", size, place, background, beside) if word)


def _mix(share_HW: np.ndarray, first: Colour, second: Colour) -> np.ndarray:
    share_HW1 = share_HW.astype(np.float32)[..., None]
    return np.array(first, np.float32) * (1 - share_HW1) + np.array(second, np.float32) * share_HW1


def _over(picture_HWC: np.ndarray, figure: Figure) -> np.ndarray:
    cover_HW1 = figure.cover_HW[..., None]
    return picture_HWC * (1 - cover_HW1) + figure.rgb_HWC * cover_HW1


@lru_cache(maxsize=256)
def _draw_figure(subject: Subject, height: float, lean: float, scale: int) -> Figure:
    """On a canvas of twice the side, the feet in its middle."""
    covers = _draw_layers(subject.shape, subject.pattern, subject.cut, height, lean, scale)
    colours = (subject.hair, subject.face, _INK, subject.body, subject.stripe)
    inked_HWC = sum(cover[..., None] * np.array(each, np.float32) for cover, each in zip(covers, colours, strict=True))
    total_HW1 = sum(covers)[..., None]
    hair, skin, ink, body, stripe = covers
    return Figure(inked_HWC / np.maximum(total_HW1, 1e-6), hair, skin + ink, body + stripe)


@cache
def _draw_layers(shape: str, pattern: str, cut: str, height: float, lean: float, scale: int) -> tuple[np.ndarray, ...]:
    """How much of each pixel is hair, skin, eyes and mouth, body, stripes of the body."""
    rows, columns = np.mgrid[0 : 2 * _CANVAS_PX * _FINE, 0 : _CANVAS_PX * _FINE].astype(np.float32)
    up = (_CANVAS_PX - (rows + 0.5) / _FINE) / height  # 0 at the feet, 1 at the crown
    across = ((columns + 0.5) / _FINE - _CANVAS_PX / 2) / height - lean * (up - 0.5)
    radius = 0.17
    face = (across**2 + (up - 0.74) ** 2) < radius**2
    hair = _hair(cut, up, across, radius)
    eyes = (np.abs(np.abs(across) - 0.07) < 0.035) & (np.abs(up - 0.75) < 0.045)
    mouth = (np.abs(across) < 0.07) & (np.abs(up - 0.655) < 0.022)
    face &= ~hair
    body = _body(shape, up, across) & ~(hair | face)
    ink, stripes = face & (eyes | mouth), body & _pattern(pattern, up, across)
    layers = (hair, face & ~ink, ink, body & ~stripes, stripes)
    return tuple(_averaged(layer, _FINE // scale) for layer in layers)


def _body(shape: str, up: np.ndarray, across: np.ndarray) -> np.ndarray:
    if shape == "square":
        return (up > 0.02) & (up < 0.57) & (np.abs(across) < 0.20)
    if shape == "triangle":
        return (up > 0.02) & (up < 0.60) & (np.abs(across) < 0.27 * (0.68 - up) / 0.66)
    return (across / 0.21) ** 2 + ((up - 0.29) / 0.29) ** 2 < 1


def _hair(cut: str, up: np.ndarray, across: np.ndarray, radius: float) -> np.ndarray:
    cap = (across**2 + (up - 0.77) ** 2 < (radius * 1.15) ** 2) & (up > 0.83)
    if cut == "long":
        sides = (np.abs(across) > radius * 0.75) & (np.abs(across) < radius * 1.35) & (up > 0.45) & (up < 0.86)
        return cap | sides
    if cut == "tall":
        return cap | ((np.abs(across) < 0.09) & (up > 0.85) & (up < 1.06))
    return cap


def _pattern(pattern: str, up: np.ndarray, across: np.ndarray) -> np.ndarray:
    if pattern == "rows":
        return np.floor(up / 0.10) % 2 == 1
    if pattern == "columns":
        return np.floor((across + 1) / 0.10) % 2 == 1
    if pattern == "checks":
        return (np.floor(up / 0.13) + np.floor((across + 1.0) / 0.13)) % 2 == 1
    return np.zeros(up.shape, bool)


def _averaged(fine: np.ndarray, factor: int) -> np.ndarray:
    height, width = fine.shape
    return fine.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3)).astype(np.float32)
