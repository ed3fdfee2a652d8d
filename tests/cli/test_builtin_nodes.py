"""LoadImage, SaveImage and PreviewImage as ComfyUI's own do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.cli.builtin_nodes import BUILTIN_NODES, LoadImage, PreviewImage, SaveImage
from maskloss.core.errors import PathError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import load_image, save_image

RGBA = np.random.default_rng(0).integers(0, 256, (8, 6, 4), dtype=np.uint8)


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    save_image(tmp_path / "in/seen.png", RGBA[..., :3])
    save_image(tmp_path / "in/cut.png", RGBA)
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as host:
        yield host


def test_an_image_is_floats_and_its_mask_one_minus_alpha() -> None:
    image, mask = LoadImage().load("cut.png")
    assert (image.shape, image.dtype) == ((1, 8, 6, 3), torch.float32)
    np.testing.assert_allclose(image[0].numpy(), RGBA[..., :3] / 255, atol=1e-6)
    np.testing.assert_allclose(mask[0].numpy(), 1 - RGBA[..., 3] / 255, atol=1e-6)


def test_without_alpha_the_mask_is_small_and_black() -> None:
    _, mask = LoadImage().load("seen.png")
    assert (tuple(mask.shape), float(mask.max())) == ((1, 64, 64), 0.0)


def test_an_image_outside_of_input_or_not_there_is_refused() -> None:
    for name in ("../away.png", "gone.png"):
        with pytest.raises(PathError, match="image: "):
            LoadImage().load(name)


def test_saved_pictures_are_numbered_and_told(host: LocalHost) -> None:
    batch = torch.stack([torch.zeros(4, 6, 3), torch.ones(4, 6, 3)])
    first = SaveImage().save(batch, "sub/x")["ui"]["images"]
    assert [entry["filename"] for entry in first] == ["x_00001.png", "x_00002.png"]
    assert {(entry["subfolder"], entry["type"]) for entry in first} == {("sub", "output")}
    again = SaveImage().save(batch[:1], "sub/x")["ui"]["images"]
    assert [entry["filename"] for entry in again] == ["x_00003.png"]
    values = [load_image(host.folders().output / f"sub/x_0000{number}.png")[0].max() for number in (1, 2, 3)]
    assert values == [0, 255, 0]


def test_a_preview_is_a_file_that_can_be_looked_at(host: LocalHost) -> None:
    (entry,) = PreviewImage().show(torch.ones(1, 4, 6, 3))["ui"]["images"]
    assert (load_image(host.folders().output / entry["subfolder"] / entry["filename"])[0] == 255).all()


def test_prompts_find_them_by_comfyuis_names() -> None:
    assert set(BUILTIN_NODES) == {"LoadImage", "SaveImage", "PreviewImage"}
    assert [cls.__name__ for cls in BUILTIN_NODES.values() if getattr(cls, "OUTPUT_NODE", False)] == [
        "SaveImage", "PreviewImage",
    ]  # fmt: skip
