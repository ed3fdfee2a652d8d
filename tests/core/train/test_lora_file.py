from pathlib import Path

import pytest
import torch
from maskloss.core.errors import DiskError, PathError, TrainingError
from maskloss.core.train.lora_file import KeyFormat, LoraWeights, load_lora, save_lora, with_key_format
from safetensors.torch import save_file

from .runs import full_disk


def lora() -> dict[str, torch.Tensor]:
    stem = "diffusion_model.blocks.0.q_k"
    return {
        f"{stem}.lora_up.weight": torch.ones(4, 2),
        f"{stem}.lora_down.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)),
        f"{stem}.alpha": torch.tensor(2.0),
    }


def test_round_trip_keeps_tensors_dtypes_and_metadata(tmp_path: Path):
    tensors = {key: tensor.bfloat16() for key, tensor in lora().items()}
    path = tmp_path / "deep" / "person.safetensors"
    save_lora(path, tensors, {"ss_steps": "3"})
    loaded = load_lora(path)
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], tensors[key]) and loaded[key].dtype == torch.bfloat16 for key in tensors)
    assert loaded.metadata["ss_steps"] == "3"
    assert [file.name for file in path.parent.iterdir()] == ["person.safetensors"]


def test_a_full_disk_is_named_and_the_earlier_file_stays(tmp_path: Path):
    path = tmp_path / "person.safetensors"
    save_lora(path, lora())
    before = path.read_bytes()
    larger = {key: tensor.repeat(99, 1) if tensor.ndim else tensor for key, tensor in lora().items()}
    with full_disk(2000), pytest.raises(DiskError, match=r"person\.safetensors cannot be written \(File too large\)"):
        save_lora(path, larger)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["person.safetensors"]


def test_a_loaded_lora_keeps_its_metadata_when_saved_again(tmp_path: Path):
    save_lora(tmp_path / "a.safetensors", LoraWeights(lora(), {"ss_steps": "9"}))
    save_lora(tmp_path / "b.safetensors", load_lora(tmp_path / "a.safetensors"))
    assert load_lora(tmp_path / "b.safetensors").metadata["ss_steps"] == "9"


@pytest.mark.parametrize(
    ("form", "architecture", "stem"),
    [
        (KeyFormat.DIFFUSION_MODEL, "stable-diffusion-v1/lora", "diffusion_model.blocks.0.q_k"),
        (KeyFormat.KOHYA, "", "lora_unet_blocks_0_q_k"),
        (KeyFormat.AUTO, "pixart-sigma/lora", "diffusion_model.blocks.0.q_k"),
        (KeyFormat.AUTO, "wan2.1/lora", "lora_unet_blocks_0_q_k"),
        (KeyFormat.AUTO, "stable-diffusion-v1/lora", "lora_unet_blocks_0_q_k"),
    ],
)
def test_key_formats(form: KeyFormat, architecture: str, stem: str):
    renamed = with_key_format(lora(), form, architecture)
    assert set(renamed) == {f"{stem}.lora_up.weight", f"{stem}.lora_down.weight", f"{stem}.alpha"}


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (".lora_B.weight", ".lora_A.weight"),
        (".lora_B.default.weight", ".lora_A.default.weight"),
        (".lora.up.weight", ".lora.down.weight"),
        (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    ],
)
def test_every_word_for_up_and_down_is_read(tmp_path: Path, up: str, down: str):
    stem = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    pair = {up: torch.rand(3, 2), down: torch.rand(2, 4)}
    save_file({stem + part: tensor for part, tensor in pair.items()}, tmp_path / "a.safetensors")
    read = load_lora(tmp_path / "a.safetensors")
    assert torch.equal(read[f"{stem}.lora_up.weight"], pair[up])
    assert torch.equal(read[f"{stem}.lora_down.weight"], pair[down])


def test_names_that_cannot_be_told_are_refused():
    kohya = with_key_format(lora(), KeyFormat.KOHYA)
    assert with_key_format(kohya, KeyFormat.AUTO) == kohya
    with pytest.raises(TrainingError, match="save with key_format kohya"):
        with_key_format(kohya, KeyFormat.DIFFUSION_MODEL)
    with pytest.raises(TrainingError, match="no LoRA key"):
        with_key_format({"diffusion_model.x.weight": torch.ones(1)}, KeyFormat.AUTO)


def test_lora_a_and_b_are_read(tmp_path: Path):
    peft = {"diffusion_model.x.lora_A.weight": torch.ones(2, 3), "diffusion_model.x.lora_B.weight": torch.ones(4, 2)}
    save_file(peft, tmp_path / "peft.safetensors")
    assert set(load_lora(tmp_path / "peft.safetensors")) == {
        "diffusion_model.x.lora_down.weight",
        "diffusion_model.x.lora_up.weight",
    }


def test_bad_files_are_named(tmp_path: Path):
    with pytest.raises(PathError, match=r"nowhere\.safetensors"):
        load_lora(tmp_path / "nowhere.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(TrainingError, match=r"torn\.safetensors"):
        load_lora(tmp_path / "torn.safetensors")
    save_file({"weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(TrainingError, match="holds no LoRA"):
        load_lora(tmp_path / "model.safetensors")
