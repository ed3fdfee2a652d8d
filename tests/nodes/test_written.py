"""ComfyUI keeps a node's result while its inputs are the same; what was deleted meanwhile has to be made again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.written import CACHES, OUTPUTS, Written


class Editor(LocalHost):
    """A host in which a node of a graph runs."""

    node: str | None = "5"

    def running_node(self) -> tuple[str, str] | None:
        return (self.node, "prompt") if self.node else None


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    with use_host(Editor(tmp_path / "in", tmp_path / "out")) as host:
        yield host


@pytest.mark.usefixtures("editor")
def test_a_file_that_is_gone_is_told_once(tmp_path: Path) -> None:
    written, file = Written(Path.exists), tmp_path / "a.safetensors"
    before = written.is_changed()
    for _ in range(2):
        file.touch()
        written.note(file)
        assert before == written.is_changed() == written.is_changed()
        file.unlink()
        now = written.is_changed()
        assert now not in (before, "")
        assert written.is_changed() == now, "until it was made again, and for as long as it is there"
        before = now


def test_each_node_has_its_own(editor: Editor, tmp_path: Path) -> None:
    written, file = Written(Path.exists), tmp_path / "a"
    file.touch()
    written.note(file)
    own = written.is_changed()
    editor.node = "6"
    before = written.is_changed()
    file.unlink()
    assert written.is_changed() == before
    editor.node = None
    written.note(file)
    assert written.is_changed() == "", "without a graph there is nothing that keeps results"
    editor.node = "5"
    assert written.is_changed() != own


def test_what_two_nodes_write_to_one_cache_is_as_the_last_left_it(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "latents").touch()
    CACHES.note(tmp_path)
    before = CACHES.is_changed()
    editor.node = "6"
    text = tmp_path / "text"
    text.touch()
    CACHES.note(tmp_path)
    editor.node = "5"
    assert CACHES.is_changed() == before
    text.unlink()
    assert CACHES.is_changed() != before


@pytest.mark.usefixtures("editor")
def test_what_lies_in_a_directory_of_masks_is_for_its_ledger_to_tell(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    OUTPUTS.note(folder)
    before = OUTPUTS.is_changed()
    (folder / "mask.png").touch()
    assert OUTPUTS.is_changed() == before
