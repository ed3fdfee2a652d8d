"""Writers of valid files of every format, each with its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from maskloss.core.dataset.captions import read_caption
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.dataset.read_toml import read_toml
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
