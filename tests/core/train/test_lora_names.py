"""Names of layers from program to program: each layer its own, there and back without loss, for every architecture."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.train.diffusers_keys import component, known_architectures
from maskloss.core.train.lora_file import KeyFormat, with_key_format
from maskloss.core.train.lora_layers import layers_of
from maskloss.core.train.lora_names import kohya_names, own_layers

from .loras import INPUTS, changes, lora_of

ARCHITECTURES = known_architectures()


@pytest.mark.parametrize("prefix", ["", "base_model.model.", "lora_transformer_"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_to_diffusers_and_back_every_layer_adds_the_same(architecture: str, prefix: str):
    ours = lora_of(architecture)
    part = component(architecture)
    written = with_key_format(ours, KeyFormat.DIFFUSERS, f"{architecture}/lora")
    assert all(key.startswith(f"{part}.") and key.endswith((".lora_A.weight", ".lora_B.weight")) for key in written)
    if prefix:
        written = {prefix + key.removeprefix(f"{part}."): tensor for key, tensor in written.items()}
    if prefix.endswith("_"):
        stems = {key: key[: -len(".lora_A.weight")] for key in written}
        written = {stem.replace(".", "_") + key[len(stem) :]: written[key] for key, stem in stems.items()}
    read = {key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor for key, tensor in written.items()}
    back = with_key_format(read, KeyFormat.DIFFUSION_MODEL, architecture)
    wanted, found = changes(ours, "diffusion_model."), changes(back, "diffusion_model.")
    assert found.keys() == wanted.keys()
    for module, delta in wanted.items():
        # A scale of one half is exact.
        assert torch.equal(found[module], delta), module
        assert back[f"diffusion_model.{module}.lora_down.weight"].shape[0] == 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_to_kohya_and_back(architecture: str):
    ours = lora_of(architecture)
    kohya = with_key_format(ours, KeyFormat.KOHYA, architecture)
    assert all(key.startswith("lora_unet_") and key.count(".") <= 2 for key in kohya)
    back = with_key_format(kohya, KeyFormat.DIFFUSION_MODEL, architecture)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in ours.items())


def test_kohyas_names_of_stable_diffusion_are_diffusers_and_ours_of_earlier_files_are_read():
    module = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert kohya_names([module], "stable-diffusion-v1") == {module: name}
    assert kohya_names([module], "stable-diffusion-xl-v1-base") == {module: "lora_unet_" + module.replace(".", "_")}
    ours = lora_of("stable-diffusion-v1", modules=[module])
    earlier = {
        key.replace(f"diffusion_model.{module}", "lora_unet_" + module.replace(".", "_")): value
        for key, value in ours.items()
    }
    assert with_key_format(earlier, KeyFormat.DIFFUSION_MODEL, "stable-diffusion-v1").keys() == ours.keys()
    assert {key.partition(".")[0] for key in with_key_format(earlier, KeyFormat.KOHYA, "stable-diffusion-v1")} == {name}


@pytest.mark.parametrize(
    ("stem", "module"),
    [
        ("diffusion_model.double_blocks.0.img_attn.proj", "double_blocks.0.img_attn.proj"),
        ("model.diffusion_model.double_blocks.0.img_attn.proj", "double_blocks.0.img_attn.proj"),
        ("double_blocks.0.img_attn.proj", "double_blocks.0.img_attn.proj"),
        ("transformer.double_blocks.0.img_attn_proj", "double_blocks.0.img_attn.proj"),
        ("lora_unet_double_blocks_0_img_attn_proj", "double_blocks.0.img_attn.proj"),
        ("lora_unet__double_blocks_0_img_mlp_fc1", "double_blocks.0.img_mlp.0"),
        ("transformer.transformer_blocks.0.attn.to_out.0", "double_blocks.0.img_attn.proj"),
        ("base_model.model.transformer_blocks.0.attn.to_out.0", "double_blocks.0.img_attn.proj"),
        ("transformer.base_model.model.transformer_blocks.0.ff.net.2", "double_blocks.0.img_mlp.2"),
        ("lora_transformer_transformer_blocks_0_attn_to_out_0", "double_blocks.0.img_attn.proj"),
        ("lycoris_transformer_blocks_0_attn_to_add_out", "double_blocks.0.txt_attn.proj"),
    ],
)
def test_a_layer_is_found_by_any_programs_name(stem: str, module: str):
    parts = {".lora_up.weight": torch.ones(4, 2), ".lora_down.weight": torch.ones(2, 4)}
    found, unknown = own_layers({stem: parts}, "hunyuan-video")
    assert list(found) == [module]
    assert not unknown


@pytest.mark.parametrize(
    ("stem", "says"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "belongs to a text encoder"),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1", "belongs to a text encoder"),
        ("transformer.nowhere.0.attn.to_q", "no layer of flux-1-dev"),
    ],
)
def test_a_layer_without_a_place_is_named_with_the_reason(stem: str, says: str):
    lora = {f"{stem}.lora_up.weight": torch.ones(4, 2), f"{stem}.lora_down.weight": torch.ones(2, 4)}
    with pytest.raises(TrainingError, match=says):
        with_key_format(lora, KeyFormat.DIFFUSERS, "flux-1-dev")


def test_parts_that_were_trained_apart_become_one_layer_of_the_sum_of_their_ranks():
    generator = torch.Generator().manual_seed(0)
    stem = "transformer.transformer_blocks.0.attn"
    apart: dict[str, torch.Tensor] = {}
    for name, rank in (("to_q", 2), ("to_v", 3)):  # keys are not trained
        apart[f"{stem}.{name}.lora_up.weight"] = torch.randn(4, rank, generator=generator)
        apart[f"{stem}.{name}.lora_down.weight"] = torch.randn(rank, 5, generator=generator)
    joined = with_key_format(apart, KeyFormat.DIFFUSION_MODEL, "flux-1-dev")
    module = "diffusion_model.double_blocks.0.img_attn.qkv"
    assert joined[f"{module}.lora_down.weight"].shape == (5, 5)
    delta = joined[f"{module}.lora_up.weight"].double() @ joined[f"{module}.lora_down.weight"].double()
    wanted = changes(
        {key.replace("lora_up", "lora_B").replace("lora_down", "lora_A"): value for key, value in apart.items()},
        f"{stem}.",
    )
    assert torch.allclose(delta, torch.cat([wanted["to_q"], torch.zeros(4, 5, dtype=torch.float64), wanted["to_v"]]))


def test_what_cannot_be_put_together_is_refused():
    stem = "transformer.single_transformer_blocks.0"
    only_key = {
        f"{stem}.attn.to_k.lora_up.weight": torch.ones(4, 2),
        f"{stem}.attn.to_k.lora_down.weight": torch.ones(2, 4),
    }
    with pytest.raises(TrainingError, match="from which the others' cannot be told"):
        with_key_format(only_key, KeyFormat.DIFFUSION_MODEL, "flux-1-dev")
    loha = {f"{stem}.attn.to_k.hada_{part}": torch.ones(4, 4) for part in ("w1_a", "w1_b", "w2_a", "w2_b")}
    with pytest.raises(TrainingError, match="only plain LoRAs can be put together"):
        with_key_format(loha, KeyFormat.DIFFUSION_MODEL, "flux-1-dev")


def test_diffusers_needs_a_known_architecture_and_known_layers():
    with pytest.raises(TrainingError, match="no LoRA for the architecture 'pixart-sigma'"):
        with_key_format(lora_of("wan2.1"), KeyFormat.DIFFUSERS, "pixart-sigma/lora")
    odd = {
        f"diffusion_model.double_blocks.0.img_mlp.gate_proj.lora_{part}.weight": torch.ones(2, 2)
        for part in ("up", "down")
    }
    with pytest.raises(
        TrainingError, match=r"no name that is known here for 1 layers, such as 'double_blocks.0.img_mlp"
    ):
        with_key_format(odd, KeyFormat.DIFFUSERS, "flux-1-dev")
    rows = {
        "diffusion_model.single_blocks.0.linear1.lora_up.weight": torch.ones(9, 2),
        "diffusion_model.single_blocks.0.linear1.lora_down.weight": torch.ones(2, 4),
    }
    with pytest.raises(TrainingError, match="has 9 rows, which do not split"):
        with_key_format(rows, KeyFormat.DIFFUSERS, "flux-1-dev")


def test_a_doras_magnitude_needs_the_base_and_comes_back_through_it():
    module = "double_blocks.0.img_attn.qkv"
    ours = lora_of("flux-2", modules=[module])
    weight = torch.randn(12, INPUTS, generator=torch.Generator().manual_seed(4))
    magnitude = torch.linspace(0.5, 2, 12).reshape(-1, 1)
    ours[f"diffusion_model.{module}.dora_scale"] = magnitude
    with pytest.raises(TrainingError, match="--base"):
        with_key_format(ours, KeyFormat.DIFFUSERS, "flux-2")
    written = with_key_format(ours, KeyFormat.DIFFUSERS, "flux-2", lambda _: weight)
    stem = "transformer.transformer_blocks.0.attn.to_"
    theirs_m = torch.cat([written[f"{stem}{part}.lora_magnitude_vector"] for part in "qkv"]).double()
    merged = weight.double() + changes(ours, "diffusion_model.")[module]
    by_peft = theirs_m[:, None] * merged / merged.norm(dim=1, keepdim=True)
    by_comfyui = magnitude.double() * merged / weight.double().norm(dim=1, keepdim=True)
    assert torch.allclose(by_peft, by_comfyui, rtol=1e-6)


def test_a_peft_dora_is_no_comfyui_dora_without_the_base():
    name = "diffusion_model.blocks.0.ffn.0"
    lora = {
        f"{name}.lora_up.weight": torch.ones(4, 2),
        f"{name}.lora_down.weight": torch.ones(2, 3),
        f"{name}.lora_magnitude_vector": torch.ones(4),
    }
    with pytest.raises(TrainingError, match="norm of W"):
        with_key_format(lora, KeyFormat.KOHYA, "wan2.1")
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    ours = with_key_format(lora, KeyFormat.DIFFUSION_MODEL, "wan2.1", lambda _: weight)
    growth = (weight + 2).double().norm(dim=1) / weight.double().norm(dim=1)
    assert torch.allclose(ours[f"{name}.dora_scale"].flatten().double(), 1 / growth, rtol=1e-6)
    assert ours[f"{name}.dora_scale"].shape == (4, 1)


def test_keys_that_are_no_lora_are_refused():
    with pytest.raises(TrainingError, match="no LoRA key"):
        layers_of({"diffusion_model.x.weight": torch.ones(1)})
