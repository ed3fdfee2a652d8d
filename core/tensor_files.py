"""Safetensors files, written whole or not at all, and with equal content as equal bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from .files import atomic_write, refuse_special

# The header's length, in front of it, as the format has it: 64 bits, little-endian. Data begins at a multiple of 8.
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8


@contextmanager
def open_tensors(path: Path) -> Generator[Any]:
    """safetensors' handle of a file, for PyTorch on the CPU. SafetensorError or OSError where it is no such file; what
    is no regular file is not opened, as a pipe would be waited for without end."""
    refuse_special(path)
    with safe_open(path, framework="pt") as file:
        yield file


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all. DiskError naming it when the disk is full or refuses.

    Tensors lie on the CPU, contiguous, none in another's memory. The bytes depend on the content alone.
    """
    # Not safetensors' own writing: on a full disk it raises what does not say so, and its metadata come in an order
    # that differs from process to process.
    content = save(dict(tensors))
    (length,) = _LENGTH.unpack_from(content)
    start = _LENGTH.size + length
    entries = json.loads(content[_LENGTH.size : start])
    in_file_order = sorted(entries, key=lambda name: (entries[name]["data_offsets"], name))
    own = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    header = json.dumps(
        {**own, **{name: entries[name] for name in in_file_order}}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        stream.write(_LENGTH.pack(len(header)) + header)
        stream.write(memoryview(content)[start:])
