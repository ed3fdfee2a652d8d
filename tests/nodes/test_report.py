"""The report's node: what it is given by path and by wire, and what it hands on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from maskloss.core.errors import PathError, PromptError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.host.reports import KEPT_REPORTS
from maskloss.core.train.lora_file import save_lora
from maskloss.nodes.dataset import MaskLossLoadDataset
from maskloss.nodes.report import MaskLossReport
from PIL import Image

LOSS = {"loss": [2.0, 1.0]}


class InGraph(LocalHost):
    """A host in which a node of a graph runs."""

    def running_node(self) -> tuple[str, str]:
        return "5", "prompt"


@pytest.fixture
def host(tmp_path: Path):
    (tmp_path / "in").mkdir()
    with use_host(InGraph(tmp_path / "in", tmp_path / "out")) as host:
        yield host


def test_the_page_lies_under_output_and_its_lines_are_shown(host: LocalHost) -> None:
    answer = MaskLossReport().run(loss=LOSS, output_directory="pages/one")
    (index,) = answer["result"]
    assert Path(index) == host.folders().output / "pages/one/index.html"
    assert "<!doctype html>" in Path(index).read_text(encoding="utf-8")
    lines = answer["ui"]["summary"]
    assert lines[0] == "Loss in all: 2.0000 at first, 1.0000 at last (2 steps)."
    assert answer["ui"]["text"] == ["\n".join(lines)]
    assert answer["ui"]["said"] == lines[:-1]
    (shown,) = answer["ui"]["report"]
    assert shown["pictures"] == []
    # With the policy of the page in it, the page as it lies there.
    assert KEPT_REPORTS.answer(shown["id"], shown["page"]).body.endswith(
        Path(index).read_bytes()[len("<!doctype html>") :]
    )


def test_its_pictures_are_the_last_ones_of_the_first_photographs(host: LocalHost) -> None:
    names = [f"{name}.png" for name in "abcdef"]
    for number, name in enumerate(names):
        path = host.folders().input / "photos" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGBA", (64, 64), (40 * number, 90, 200, 128)).save(path)
    dataset = MaskLossLoadDataset().run(directory="photos", alpha_mask=True, resolution_width=64, resolution_height=64)[
        "result"
    ][0]
    (shown,) = MaskLossReport().run(dataset=dataset)["ui"]["report"]
    assert len(set(shown["pictures"])) == 4
    for file in shown["pictures"]:
        assert KEPT_REPORTS.answer(shown["id"], file).body[:3] == b"\xff\xd8\xff"


def test_a_lora_is_read_by_the_path_that_training_gives_or_one_under_output(host: LocalHost) -> None:
    path = host.folders().output / "loras/her.safetensors"
    tensors = {f"diffusion_model.a.lora_{part}.weight": torch.zeros(2, 2) for part in ("up", "down")}
    save_lora(path, tensors, {"ss_network_dim": "2"})
    for given in (str(path), "loras/her.safetensors"):
        index = MaskLossReport().run(lora_path=given)["result"][0]
        assert str(path) in Path(index).read_text(encoding="utf-8")
    with pytest.raises((PathError, PromptError), match="lora_path"):
        MaskLossReport().run(lora_path="loras/him.safetensors")


def test_it_runs_again_when_its_page_is_gone(host: LocalHost) -> None:
    index = Path(MaskLossReport().run(loss=LOSS)["result"][0])
    written = MaskLossReport.IS_CHANGED()
    assert MaskLossReport.IS_CHANGED() == written
    index.unlink()
    assert MaskLossReport.IS_CHANGED() != written
