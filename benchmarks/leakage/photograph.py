"""Photographs of scenes, which have more pixels than a model sees of them, and the crops that the pack cuts out."""

from __future__ import annotations

import numpy as np
from maskloss.core.dataset.crop import CropKind, Rectangle
from maskloss.core.dataset.crops import crop_of, find_figure
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.errors import DatasetError
from maskloss.core.resample import fit_image

from .world import SIDE_PX, Figure, Scene, render_scene, seen_figures

# A photograph has 128×128 px, so that a face's crop shows what the whole picture at 32×32 does not.
PHOTOGRAPH_SCALE = 4
SETTINGS = LoadSettings(resolution=(SIDE_PX, SIDE_PX), enable_bucket=False)
COVERED = 0.5  # of a pixel that belongs to a figure


def cut_crop(scene: Scene, kind: CropKind, margin: float) -> tuple[np.ndarray, Rectangle]:
    """(32,32,3) float32 RGB in [0, 1], and where in the photograph it lies.

    Where a crop lies, how it grows to the shape of its bucket, and how it comes to 32×32 px are the pack's own.
    DatasetError where the figure has no head.
    """
    photograph_HWC = (render_scene(scene, PHOTOGRAPH_SCALE) * 255).round().astype(np.uint8)
    parts_HW = name_parts(seen_figures(scene, PHOTOGRAPH_SCALE)[0])
    figure = find_figure(parts_HW == "face", parts_HW == "hair", parts_HW != "")
    if figure is None:
        raise DatasetError(f"The figure of {scene} has neither face nor hair; it cannot be cropped.")
    rectangle = crop_of([figure], kind, margin, photograph_HWC.shape[1::-1], SETTINGS)
    return fit_image(rectangle.cut(photograph_HWC), SETTINGS.resolution).astype(np.float32) / 255, rectangle


def name_parts(figure: Figure) -> np.ndarray:
    """(H,W) str: `hair`, `face`, `body`, or empty where less than half of the pixel is covered."""
    covers = np.stack([figure.hair_HW, figure.face_HW, figure.body_HW])
    names = np.array(["hair", "face", "body"])[covers.argmax(axis=0)]
    return np.where(covers.sum(axis=0) >= COVERED, names, "")
