"""Files of ours, and those of others that we read, with bytes of any kind in them: our error, naming the file and the
way out, or what was written; never another exception, and never advice to read a file unsafely.

The bytes are drawn from fixed seeds.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.cli.prompt import read_prompt
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.entry_file import (
    MaskStorage,
    read_header,
    read_latent,
    read_tensors,
    read_weights,
    write_entry,
)
from maskloss.core.cache.index import INDEX_FILE, CacheIndex, read_index, write_index
from maskloss.core.cache.reference_files import TEXT_MARK, read_text_mark
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.dataset.scan import read_caption
from maskloss.core.errors import DatasetError, PathError, UserError
from maskloss.core.masks.kept_parts import KeptParts
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.parts.part_map import PartMap, PartScheme
from maskloss.core.report.facts import read_lora
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.tensor_files import write_tensors
from maskloss.core.train.lora_file import load_lora, save_lora
from maskloss.core.train.loss_log import LossLog, last_step
from maskloss.core.train.metrics import History, LossPoint
from maskloss.core.train.scored_lora import read_scores
from maskloss.core.train.state import load_state
from PIL import Image
from safetensors.torch import save

MUTATIONS = 60
# A log that is cut off is one of a killed run, and parts that cannot be read are made again.
NEVER_REFUSED = ("log", "kept parts")
UNSAFE = ("weights_only", "unpickl", "pickle", "trust")


@dataclass(frozen=True)
class Reader:
    """Writes a valid file into a folder and returns its path; `read` gives what is in it, comparable."""

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    # Whether the format itself shows every changed byte.
    checked: bool = False


def _tensors(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    stem = "diffusion_model.blocks.0.attn"
    return {
        f"{stem}.lora_down.weight": torch.randn(2, 8, generator=generator),
        f"{stem}.lora_up.weight": torch.randn(8, 2, generator=generator),
        f"{stem}.alpha": torch.tensor(2.0),
    }


def _write_state(folder: Path) -> Path:
    parameter = torch.nn.Parameter(torch.arange(64.0))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(64)
    optimizer.step()
    point = {"step": 1, "loss": 0.5, "inside": None, "outside": 0.5, "coverage": 0.25, "learning_rate": 1e-4,
             "grad_norm": 1.0, "near_zero": ["a"], "prior": None}  # fmt: skip
    content = {
        "format": "maskloss-state-2", "identity": json.dumps({"model": "m", "train.seed": 0}), "step": 1,
        "adapter": [parameter.detach()], "optimizer": optimizer.state_dict(), "average": [], "teacher": [],
        "loss_scale": (1.0, 0), "course": json.dumps({"points": [point], "validation": [[0, 1.5]]}),
    }  # fmt: skip
    torch.save(content, folder / "run.state")
    return folder / "run.state"


def _state(path: Path) -> Any:
    saved = load_state(path)
    return (
        saved.identity,
        saved.step,
        [each.tolist() for each in saved.adapter],
        saved.history.points,
        saved.history.validation,
    )


def _write_lora(folder: Path) -> Path:
    save_lora(folder / "x.safetensors", _tensors(0), {"ss_steps": "5"})
    return folder / "x.safetensors"


def _write_entry(folder: Path) -> Path:
    path = folder / "photo_0064x0064_wan.safetensors"
    write_entry(path, torch.randn(4, 1, 8, 8), torch.rand(1, 1, 8, 8), MaskStorage.FLOAT16, {"maskloss": "1"})
    return path


def _entry(path: Path) -> Any:
    header = read_header(path)
    latent = read_latent(path, header.latent_shape)
    weights = read_weights(path, (1, *header.latent_shape[1:]))
    return latent.shape, None if weights is None else weights.shape


def _write_text(folder: Path) -> Path:
    write_tensors(folder / "text.safetensors", {"cond": torch.ones(1, 4, 8)}, {})
    return folder / "text.safetensors"


def _write_index(folder: Path) -> Path:
    entries = [
        CacheEntry(
            name=f"folder/photo{number}", file=f"folder/photo{number}_0064x0064_wan.safetensors",
            origin=MaskOrigin.FILE if number % 3 else MaskOrigin.NONE, coverage=0.25 * (number % 4),
            repeats=1 + number % 2,
            image_size=(640, 480 + number), bucket=(64, 64), latent_shape=(16, 1, 8, 8), caption=f"a person {number}",
            latent_fingerprint=f"{number:064x}", mask_fingerprint=f"{number + 7:064x}", file_bytes=4096 + number,
            sources=(Source("image", Path(f"/photos/photo{number}.jpg"), 100, 5, f"{number:064x}"),),
        )
        for number in range(9)
    ]  # fmt: skip
    write_index(folder, CacheIndex("wan", "vae", entries, "clip", True))
    return folder / INDEX_FILE


def _index(path: Path) -> Any:
    index = read_index(path.parent)
    return [repr(entry) for entry in index.entries], index.architecture


def _write_mark(folder: Path) -> Path:
    (folder / TEXT_MARK).parent.mkdir()
    (folder / TEXT_MARK).write_text(json.dumps({"text_encoder": "clip"}))
    return folder / TEXT_MARK


def _write_ledger(folder: Path) -> Path:
    (folder / "a.png").write_bytes(b"made")
    with open_ledger(folder, "Step") as ledger:
        for name in "ab":
            ledger.begin(name, "f")
            ledger.finish(name, "f", folder / "a.png", {"approximate": True})
    return next(path for path in folder.iterdir() if path.suffix == ".json")


def _ledger(path: Path) -> Any:
    with open_ledger(path.parent, "Step", path.name) as ledger:
        return [ledger.state(name, path.parent / "a.png", "f") for name in "abc"]


def _write_log(folder: Path) -> Path:
    points = [LossPoint(step, 0.5, None, 0.25, 0.1, 1e-4, 1.0, ("a",)) for step in range(1, 6)]
    LossLog(folder / "x.jsonl", History(points, [(0, 1.5)]))
    return folder / "x.jsonl"


def _write_scores(folder: Path) -> Path:
    scores = [CheckpointScores(0, 1, 1, 0.2), CheckpointScores(2, 1, 1, 0.6)]
    LossLog(folder / "x.jsonl", History(scores=scores))
    return folder / "x.jsonl"


def _write_parts(folder: Path) -> Path:
    scheme = PartScheme("s", ("background", "face"), frozenset({"face"}), frozenset())
    KeptParts(folder).get(lambda: PartMap(np.ones((4, 4), np.uint8), scheme), "picture")
    return next(path for path in folder.rglob("*") if path.is_file())


def _parts(path: Path) -> Any:
    kept = KeptParts(path.parent.parent)
    return kept.get(lambda: PartMap(np.zeros((4, 4), np.uint8), _OTHER), "picture").label_HW.tolist()


_OTHER = PartScheme("other", ("background", "face"), frozenset({"face"}), frozenset())


def _write_toml(folder: Path) -> Path:
    (folder / "x.toml").write_text('[general]\nresolution = [64, 64]\n[[datasets]]\nimage_directory = "a"\n')
    return folder / "x.toml"


def _write_caption(folder: Path) -> Path:
    (folder / "x.txt").write_text("anna stands in a garden, smiling")
    return folder / "x.txt"


def _write_prompt(folder: Path) -> Path:
    (folder / "x.json").write_text('{"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}')
    return folder / "x.json"


READERS = {
    "state": Reader(_write_state, _state, checked=True),
    "lora": Reader(_write_lora, load_lora),
    "lora in a report": Reader(_write_lora, lambda path: (read_lora(path).metadata, read_lora(path).settings)),
    "entry": Reader(_write_entry, _entry),
    "text": Reader(_write_text, read_tensors),
    "index": Reader(_write_index, _index),
    "text mark": Reader(_write_mark, lambda path: read_text_mark(path.parent)),
    "ledger": Reader(_write_ledger, _ledger),
    "log": Reader(_write_log, last_step),
    "log with scores": Reader(_write_scores, read_scores),
    "kept parts": Reader(_write_parts, _parts),
    "dataset file": Reader(_write_toml, read_toml),
    "caption": Reader(_write_caption, read_caption),
    "prompt": Reader(_write_prompt, read_prompt),
}


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
    content = _write_prompt(tmp_path).read_bytes()
    with pytest.raises(PathError, match="is a device"):
        read_prompt(Path("/dev/zero"))
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    assert read_prompt(Path(f"/dev/fd/{reading}")) == read_prompt(tmp_path / "x.json")
    os.close(reading)


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_a_journal_that_is_a_pipe_is_said(tmp_path: Path) -> None:
    ledger = _write_ledger(tmp_path)
    os.mkfifo(tmp_path / f"{ledger.stem}-x.journal")
    with pytest.raises(DatasetError, match="take it away"), open_ledger(tmp_path, "Step", ledger.name):
        pass
