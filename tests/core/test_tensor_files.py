"""Safetensors files: equal content as equal bytes, in every process, and whole."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.tensor_files import write_tensors
from safetensors import safe_open

_METADATA = {f"ss_key_{index}": f"wörth {index}" for index in range(40)}
_WRITER = """
import sys, torch
from pathlib import Path
from maskloss.core.tensor_files import write_tensors
from maskloss.core.train.lora_file import save_lora
shapes = {"lora_down": (2, 3), "lora_up": (3, 2)}
names = {f"diffusion_model.b.{i}.{half}.weight": (shape, i) for i in range(15) for half, shape in shapes.items()}
tensors = {name: torch.full(shape, float(i)) for name, (shape, i) in names.items()}
metadata = {f"ss_key_{i}": f"wörth {i}" for i in range(40)}
if sys.argv[3] == "turned":
    tensors, metadata = dict(reversed(tensors.items())), dict(reversed(metadata.items()))
write_tensors(Path(sys.argv[1]), tensors, metadata)
save_lora(Path(sys.argv[2]), tensors, metadata)
"""


def header(path: Path) -> tuple[dict[str, object], int]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), length


def test_equal_content_is_equal_bytes_in_every_process_and_order(tmp_path: Path):
    contents: set[bytes] = set()
    loras: set[bytes] = set()
    for run, seed in enumerate(("0", "1", "2")):
        paths = tmp_path / f"{run}.safetensors", tmp_path / f"lora{run}.safetensors"
        order = "turned" if run == 2 else "as is"
        subprocess.run(
            [sys.executable, "-c", _WRITER, *map(str, paths), order],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        contents.add(paths[0].read_bytes())
        loras.add(paths[1].read_bytes())
    assert len(contents) == len(loras) == 1
    entries, length = header(tmp_path / "0.safetensors")
    assert length % 8 == 0
    assert next(iter(entries)) == "__metadata__"
    assert list(entries["__metadata__"]) == sorted(_METADATA)  # type: ignore[arg-type]


_TENSORS = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(
        st.sampled_from([torch.float32, torch.bfloat16, torch.uint8, torch.int64, torch.bool]),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(_TENSORS, st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=6))
def test_everything_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: dict[str, tuple[torch.dtype, list[int]]],
    metadata: dict[str, str],
):
    path = tmp_path_factory.mktemp("files") / "a.safetensors"
    tensors = {name: torch.ones(shape).to(dtype) for name, (dtype, shape) in kinds.items()}
    write_tensors(path, tensors, metadata)
    with safe_open(path, framework="pt") as file:
        assert (file.metadata() or {}) == metadata
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            read = file.get_tensor(name)
            assert read.dtype == tensor.dtype
            assert torch.equal(read, tensor)
    before = path.read_bytes()
    write_tensors(path, dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert path.read_bytes() == before
