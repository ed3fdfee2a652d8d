"""Files of ours, and those of others that we read, with bytes of any kind in them: our error, naming the file and the
way out, or what was written; never another exception, and never advice to read a file unsafely.

The bytes are drawn from fixed seeds.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.cli.prompt import read_prompt
from maskloss.core.errors import DatasetError, PathError, UserError
from maskloss.core.masks.ledger import open_ledger
from PIL import Image
from safetensors.torch import save

from .damaged_readers import READERS, Reader

MUTATIONS = 60
# A log that is cut off is one of a killed run, and parts that cannot be read are made again.
NEVER_REFUSED = ("log", "kept parts")
UNSAFE = ("weights_only", "unpickl", "pickle", "trust")


def _changed(content: bytes, random: np.random.Generator) -> Iterator[bytes]:
    """Cut off, with bytes changed, with stretches exchanged, lengthened."""
    for _ in range(MUTATIONS):
        kind = random.integers(5)
        at = int(random.integers(len(content)))
        if kind == 0:
            yield content[:at]
        elif kind == 1:
            changed = bytearray(content)
            for _ in range(int(random.integers(1, 9))):
                changed[int(random.integers(len(content)))] = int(random.integers(256))
            yield bytes(changed)
        elif kind == 2:
            length = int(random.integers(1, 64))
            yield content[:at] + random.bytes(length) + content[at + length :]
        elif kind == 3:
            yield content[:at] + content[at + int(random.integers(1, 64)) :]
        else:
            # The beginning, where headers are.
            changed = bytearray(content)
            changed[int(random.integers(min(64, len(content))))] ^= 1 << int(random.integers(8))
            yield bytes(changed)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def _foreign() -> dict[str, bytes]:
    picture, archive, evil, tensors, number = (io.BytesIO() for _ in range(5))
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("readme.txt", "hello")
    torch.save({"format": Evil()}, evil)
    torch.save({"weight": torch.ones(3)}, tensors)
    torch.save(7, number)
    random = np.random.default_rng(7)
    return {
        "empty": b"", "one byte": b"x", "text": b"hello\n", "utf-16": "hello".encode("utf-16"), "null": b"null",
        "list": b"[1, 2]", "object": b'{"format": 2}', "numbers": b"{\"step\": 1, \"items\": {\"a\": {\"b\": 1}}}",
        "deep": b"[" * 100_000, "picture": picture.getvalue(), "archive": archive.getvalue(),
        "pickle": pickle.dumps([1]),
        "evil": evil.getvalue(), "plain tensors": tensors.getvalue(), "a number": number.getvalue(),
        "safetensors": save({"x": torch.ones(2)}), "random": random.bytes(5000), "zeros": bytes(5000),
    }  # fmt: skip


def _try(reader: Reader, path: Path, what: str) -> Any:
    try:
        return reader.read(path)
    except UserError as problem:
        text = str(problem)
        assert path.name in text or str(path.parent) in text, f"{what}: {text}"
        assert not any(word in text.lower() for word in UNSAFE), f"{what}: {text}"
        assert ";" in text or ":" in text, f"{what}: the way out is missing in {text}"
        return None


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = READERS[name]
    path = reader.write(tmp_path)
    content, whole = path.read_bytes(), reader.read(path)
    random = np.random.default_rng(list(name.encode()))
    refused = 0
    for number, changed in enumerate(_changed(content, random)):
        path.write_bytes(changed)
        found = _try(reader, path, f"mutation {number}")
        refused += found is None
        if reader.checked and found is not None:
            assert found == whole, f"mutation {number} passed for what was written"
    assert refused > 0 or name in NEVER_REFUSED


@pytest.mark.parametrize("foreign", _foreign())
@pytest.mark.parametrize("name", READERS)
def test_a_foreign_file_is_said(name: str, foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = READERS[name]
    path = reader.write(tmp_path)
    path.write_bytes(_foreign()[foreign])
    _try(reader, path, foreign)
    assert not (tmp_path / "ran").exists(), "code from a file was run"


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be opened there")
@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_its_place_is_said(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    path = reader.write(tmp_path)
    path.unlink()
    path.mkdir()
    _try(reader, path, "a folder")


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "a pipe that nobody writes"])
@pytest.mark.parametrize("name", [name for name in READERS if name != "prompt"])
def test_a_device_or_a_pipe_in_its_place_is_said(name: str, device: str, tmp_path: Path) -> None:
    """Neither read without end nor waited for: the test would hang."""
    path = READERS[name].write(tmp_path)
    path.unlink()
    if device.startswith("/dev"):
        path.symlink_to(device)
    else:
        os.mkfifo(path)
    found = _try(READERS[name], path, device)
    assert found in (None, 0) or name == "kept parts", "nothing is in it"


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_a_prompt_comes_from_a_file_or_a_shells_pipe_and_never_from_a_device(tmp_path: Path) -> None:
    content = READERS["prompt"].write(tmp_path).read_bytes()
    with pytest.raises(PathError, match="is a device"):
        read_prompt(Path("/dev/zero"))
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    assert read_prompt(Path(f"/dev/fd/{reading}")) == read_prompt(tmp_path / "x.json")
    os.close(reading)


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_a_journal_that_is_a_pipe_is_said(tmp_path: Path) -> None:
    ledger = READERS["ledger"].write(tmp_path)
    os.mkfifo(tmp_path / f"{ledger.stem}-x.journal")
    with pytest.raises(DatasetError, match="take it away"), open_ledger(tmp_path, "Step", ledger.name):
        pass


def test_a_ledger_that_is_a_link_to_itself_is_said(tmp_path: Path) -> None:
    ledger = READERS["ledger"].write(tmp_path)
    ledger.unlink()
    ledger.symlink_to(ledger.name)
    with pytest.raises(DatasetError, match="take it away"), open_ledger(tmp_path, "Step", ledger.name):
        pass
