from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelRunError, UserError
from maskloss.core.segmenters.sapiens import SapiensPartSegmenter

RED = (255, 0, 0)


class Toy(torch.nn.Module):
    """On a quarter grid: class 2 (face) is the normalised red, class 3 (hair) the normalised blue, the rest 0."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        weight = torch.zeros(classes, 3, 1, 1)
        if classes > 3:
            weight[2, 0], weight[3, 2] = 1.0, 1.0
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] != 1024 or x.shape[3] != 768:
            raise RuntimeError("not 1024 x 768")
        return torch.nn.functional.conv2d(torch.nn.functional.avg_pool2d(x, 4), self.weight)


class Tuple(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Fails(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(7)


def script(path: Path, module: torch.nn.Module) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_parts_lie_where_they_are_in_a_picture_of_any_shape(tmp_path: Path) -> None:
    rgb_HWC = np.zeros((300, 500, 3), np.uint8)
    rgb_HWC[60:180, 100:300] = RED
    rgb_HWC[20:60, 100:300] = (0, 0, 255)
    parts = SapiensPartSegmenter(script(tmp_path / "toy.pt2", Toy(28))).segment(rgb_HWC)
    assert parts.scheme.id == "sapiens_goliath_28"
    assert parts.size == (500, 300)
    assert not parts.approximate
    for names, (y0, y1, x0, x1) in ((("Face_Neck",), (60, 180, 100, 300)), (("Hair",), (20, 60, 100, 300))):
        expected_HW = np.zeros((300, 500), bool)
        expected_HW[y0:y1, x0:x1] = True
        found_HW = parts.mask(parts.scheme.ids(names))
        assert (found_HW & expected_HW).sum() / (found_HW | expected_HW).sum() > 0.95


def test_the_net_gets_the_published_normalisation(tmp_path: Path) -> None:
    """The toy calls face what is redder than the mean: 123.5 of 255."""
    segmenter = SapiensPartSegmenter(script(tmp_path / "toy.pt", Toy(28)))
    for red, name in ((123, "Background"), (124, "Face_Neck")):
        rgb_HWC = np.zeros((16, 16, 3), np.uint8)
        rgb_HWC[..., 0] = red
        labels = np.unique(segmenter.segment(rgb_HWC).label_HW)
        assert [segmenter.segment(rgb_HWC).scheme.names[label] for label in labels] == [name]


@pytest.mark.parametrize("size", [(3072, 900), (700, 4096)])
def test_a_side_that_shrinks_is_averaged_though_the_other_grows(tmp_path: Path, size: tuple[int, int]) -> None:
    """Stripes, one in four of them red, are 64 of 255 to the net, which the toy calls background."""
    segmenter = SapiensPartSegmenter(script(tmp_path / "toy.pt", Toy(28)))
    for phase in range(4):
        rgb_HWC = np.zeros((size[1], size[0], 3), np.uint8)
        np.moveaxis(rgb_HWC, int(size[0] > size[1]), 0)[phase::4] = RED
        assert set(np.unique(segmenter.segment(rgb_HWC).label_HW)) == {0}


def test_a_half_precision_net_is_fed_its_own_type(tmp_path: Path) -> None:
    rgb_HWC = np.full((32, 32, 3), 0, np.uint8)
    rgb_HWC[...] = RED
    parts = SapiensPartSegmenter(script(tmp_path / "toy.pt", Toy(28).to(torch.bfloat16))).segment(rgb_HWC)
    assert set(np.unique(parts.label_HW)) == {2}


def test_identity_follows_the_file_and_the_licence_is_said(tmp_path: Path) -> None:
    first = SapiensPartSegmenter(script(tmp_path / "a.pt", Toy(28)))
    changed = Toy(28)
    changed.weight.data += 1
    assert first.identity != SapiensPartSegmenter(script(tmp_path / "b.pt", changed)).identity
    assert "CC-BY-NC" in first.notes[0]


def _message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        SapiensPartSegmenter(path).segment(np.zeros((8, 8, 3), np.uint8))
    return str(caught.value)


@pytest.mark.parametrize("classes", [3, 29])
def test_another_number_of_classes_is_refused(tmp_path: Path, classes: int) -> None:
    message = _message(script(tmp_path / "pose.pt2", Toy(classes)))
    assert f"(1, {classes}, 256, 192)" in message
    assert "expected (1, 28, height, width)" in message


def test_something_else_than_scores_is_refused(tmp_path: Path) -> None:
    assert "it gives tuple" in _message(script(tmp_path / "two.pt2", Tuple()))


def test_a_net_that_fails_while_running_is_said(tmp_path: Path) -> None:
    path = script(tmp_path / "f.pt2", Fails())
    with pytest.raises(ModelRunError, match=r"Sapiens f\.pt2 failed while it ran on a picture of 9x8 \(RuntimeError: "):
        SapiensPartSegmenter(path).segment(np.zeros((8, 9, 3), np.uint8))


def test_files_that_are_no_torchscript_are_said(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "state.pt")
    (tmp_path / "page.pt2").write_bytes(b"<html>")
    for name in ("state.pt", "page.pt2"):
        message = _message(tmp_path / name)
        assert "it is no TorchScript file" in message
        assert "facebook/sapiens-seg" in message
