"""LoRA files in and out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from maskloss.core.errors import PathError, PromptError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.lora_files import MaskLossLoadLora, MaskLossSaveLora

LAYER = "diffusion_model.blocks.0.attention.out"
LORA = {f"{LAYER}.lora_down.weight": (2, 8), f"{LAYER}.lora_up.weight": (8, 2), f"{LAYER}.alpha": ()}


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    (tmp_path / "in").mkdir()
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as host:
        yield host


def test_saved_files_are_numbered_and_written_with_the_keys_that_were_asked_for() -> None:
    lora = {key: torch.full(shape, 0.5) for key, shape in LORA.items()}
    paths = [
        Path(MaskLossSaveLora().run(lora=lora, filename_prefix="loras/y", key_format=keys)["result"][0])
        for keys in ("kohya", "diffusion_model")
    ]
    assert [path.name for path in paths] == ["y_00001.safetensors", "y_00002.safetensors"]
    kohya, own = (MaskLossLoadLora().run(path=str(path))[0] for path in paths)
    assert all(key.startswith("lora_unet_") for key in kohya)
    assert own.keys() == lora.keys()


def test_a_file_is_read_again_when_it_changed_and_one_that_is_not_there_is_named(host: LocalHost) -> None:
    path = host.folders().output / "a.safetensors"
    path.parent.mkdir()
    before = MaskLossLoadLora.IS_CHANGED(path="a.safetensors")
    path.write_bytes(b"x")
    assert MaskLossLoadLora.IS_CHANGED(path="a.safetensors") != before
    with pytest.raises((PathError, PromptError), match=r"path: 'b\.safetensors' was not found"):
        MaskLossLoadLora().run(path="b.safetensors")
