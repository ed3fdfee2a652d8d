"""Other programs' keys, and files that carry more than products of low rank."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.train.lora_check import lora_facts
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora, with_key_format
from maskloss.core.train.lora_keys import own_key
from safetensors.torch import save_file

from .test_lora_start import ARCHITECTURE, WIDTH, adapters, change

FLUX = "diffusion_model.double_blocks.0.img_attn"


def pair(rows: int, rank: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, rank, generator=generator), torch.randn(rank, WIDTH, generator=generator)


@pytest.mark.parametrize("prefix", ["", "unet."])
@pytest.mark.parametrize(
    ("theirs", "ours"), [("to_q", "to_q"), ("to_k", "to_k"), ("to_v", "to_v"), ("to_out", "to_out.0")]
)
def test_diffusers_attention_processors_are_read(tmp_path: Path, prefix: str, theirs: str, ours: str):
    attention = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    up, down = pair(8)
    stem = f"{prefix}{attention}.processor.{theirs}_lora"
    save_file({f"{stem}.up.weight": up, f"{stem}.down.weight": down}, tmp_path / "a.safetensors")
    found = load_lora(tmp_path / "a.safetensors")
    assert set(found) == {f"{prefix}{attention}.{ours}.lora_{part}.weight" for part in ("up", "down")}
    written = with_key_format(found, KeyFormat.DIFFUSION_MODEL, "stable-diffusion-v1")
    ours_in_comfyui = f"diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.{ours}"
    assert torch.equal(written[f"{ours_in_comfyui}.lora_up.weight"], up)
    assert torch.equal(written[f"{ours_in_comfyui}.lora_down.weight"], down)


def test_xlabs_double_blocks_are_read_and_do_the_same(tmp_path: Path):
    tensors: dict[str, torch.Tensor] = {}
    for seed, (layer, rows) in enumerate({"qkv_lora1": 3 * WIDTH, "proj_lora1": WIDTH}.items()):
        up, down = pair(rows, seed=seed)
        for block in (0, 1):
            stem = f"double_blocks.{block}.processor.{layer}"
            tensors |= {f"{stem}.up.weight": up.clone(), f"{stem}.down.weight": down.clone()}
    save_file(tensors, tmp_path / "xlabs.safetensors")
    run, _ = adapters(targets="img_attn")
    run.load(load_lora(tmp_path / "xlabs.safetensors"), ARCHITECTURE)
    expected = (
        tensors["double_blocks.1.processor.qkv_lora1.up.weight"]
        @ (tensors["double_blocks.1.processor.qkv_lora1.down.weight"])
    )
    torch.testing.assert_close(change(run, "double_blocks.1.img_attn.qkv").T, expected)
    assert own_key("double_blocks.3.processor.proj_lora2.up.weight") == ("double_blocks.3.txt_attn.proj.lora_up.weight")


def test_xlabs_single_blocks_are_named(tmp_path: Path):
    up, down = pair(3 * WIDTH)
    stem = "single_blocks.0.processor.qkv_lora"
    save_file({f"{stem}.up.weight": up, f"{stem}.down.weight": down}, tmp_path / "xlabs.safetensors")
    with pytest.raises(TrainingError, match=r"one by XLabs' x-flux with layers in single blocks.*convert it with diff"):
        load_lora(tmp_path / "xlabs.safetensors")


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((".diff", ".diff_b"), r"whole differences of 2 layers \(\.diff, \.diff_b; such as"),
        ((".reshape_weight",), r"other shapes of weights of 2 layers \(\.reshape_weight; such as"),
        ((".lora_B.bias",), r"biases of adapters of 2 layers \(\.lora_B\.bias; such as"),
        ((".oft_blocks",), r"OFT, BOFT, GLoRA or \(IA\)³ adapters of 2 layers"),
        ((".set_weight", ".lora_B.bias"), "whole differences of 2 layers .* and biases of adapters of 2 layers"),
    ],
)
def test_what_is_no_product_is_refused_by_what_it_is(tmp_path: Path, ends: tuple[str, ...], said: str):
    up, down = pair(3 * WIDTH)
    path = tmp_path / "a.safetensors"
    beyond = {f"{FLUX}.{layer}{end}": torch.zeros(3) for layer in ("norm", "qkv") for end in ends}
    save_file({f"{FLUX}.qkv.lora_B.weight": up, f"{FLUX}.qkv.lora_A.weight": down, **beyond}, path)
    lora = load_lora(path)
    facts = lora_facts(lora)
    assert (facts.layers, facts.algorithm) == (1, "lora")
    with pytest.raises(TrainingError, match=said):
        save_lora(tmp_path / "b.safetensors", lora)
    run, _ = adapters(targets=r"double_blocks\.0\.img_attn\.qkv")
    with pytest.raises(TrainingError, match=f"{said}.*can neither be trained on from here"):
        run.load(lora, ARCHITECTURE)
    save_file(beyond, path)
    with pytest.raises(TrainingError, match=said):
        load_lora(path)
