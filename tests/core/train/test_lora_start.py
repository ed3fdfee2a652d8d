"""Other programs' LoRA files as a start: what they do is kept, by whatever names and in whatever parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora
from safetensors.torch import save_file
from torch import nn

ARCHITECTURE = "flux-1-dev"
WIDTH = 8


class Block(nn.Module):
    """A Flux block's layers by ComfyUI's names."""

    def __init__(self) -> None:
        super().__init__()
        self.img_attn = nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH), "proj": nn.Linear(WIDTH, WIDTH)})
        self.img_mlp = nn.ModuleList([nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.double_blocks = nn.ModuleList([Block(), Block()])
        self.single_blocks = nn.ModuleList([nn.ModuleDict({"linear1": nn.Linear(WIDTH, 7 * WIDTH)})])


def adapters(seed: int = 0, targets: str = "blocks", **config: object) -> tuple[LoraAdapters, Network]:
    network = Network()
    chosen = LoraConfig(**{"rank": 4, "alpha": 2.0, "targets": targets, **config})  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    return LoraAdapters(network, chosen, ".", generator, torch.device("cpu"), torch.float32), network


def trained(**config: object) -> LoraAdapters:
    found, _ = adapters(1, **config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in found.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return found


def change(found: LoraAdapters, layer: str) -> torch.Tensor:
    """What the adapter adds to a layer's output for the unit vectors: ΔW, transposed."""
    module = found._module.get_submodule(layer)
    x = torch.eye(module.in_features)
    before = module(x)
    with found.attach(), torch.no_grad():
        return (module(x) - before).detach()


def same(start: LoraAdapters, source: LoraAdapters) -> None:
    assert set(start.layer_names) == set(source.layer_names)
    for layer in source.layer_names:
        assert torch.allclose(change(start, layer), change(source, layer), atol=1e-5), layer


@pytest.mark.parametrize("algorithm", [Algorithm.LORA, Algorithm.LOHA, Algorithm.LOKR, Algorithm.DORA])
@pytest.mark.parametrize("form", [KeyFormat.AUTO, KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA])
def test_our_own_files_start_as_they_were(algorithm: Algorithm, form: KeyFormat, tmp_path: Path):
    source, (start, _) = trained(algorithm=algorithm), adapters(algorithm=algorithm)
    save_lora(tmp_path / "a.safetensors", source.state_dict(), {"modelspec.architecture": ARCHITECTURE}, form)
    start.load(load_lora(tmp_path / "a.safetensors"), ARCHITECTURE)
    for mine, its in zip(start.parameters, source.parameters, strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(
    "prefix",
    [
        "transformer.",
        "diffusion_model.",
        "base_model.model.",
        "transformer.base_model.model.",
        "",
        "lora_transformer_",
        "lycoris_",
    ],
)
@pytest.mark.parametrize(
    "ending",
    ["lora_A.weight lora_B.weight", "lora_A.default.weight lora_B.default.weight", "lora.down.weight lora.up.weight"],
)
def test_any_programs_names_start_with_the_same_change(prefix: str, ending: str, tmp_path: Path):
    source, (start, _) = trained(), adapters()
    save_lora(
        tmp_path / "a.safetensors", source.state_dict(), {"modelspec.architecture": ARCHITECTURE}, KeyFormat.DIFFUSERS
    )
    below, above = ending.split()
    renamed: dict[str, torch.Tensor] = {}
    for key, tensor in load_lora(tmp_path / "a.safetensors").items():
        stem = key.removeprefix("transformer.").rpartition(".lora_")[0]
        stem = stem.replace(".", "_") if prefix.endswith("_") else stem
        renamed[f"{prefix}{stem}.{below if 'down' in key else above}"] = tensor
    save_file(renamed, tmp_path / "b.safetensors")
    start.load(load_lora(tmp_path / "b.safetensors"), ARCHITECTURE)
    same(start, source)


def test_other_alphas_and_lower_ranks_are_fitted_and_can_go_on_learning(tmp_path: Path):
    source, (start, _) = trained(rank=2, alpha=5.0), adapters(rank=6, alpha=3.0)
    save_lora(
        tmp_path / "a.safetensors", source.state_dict(), {"modelspec.architecture": ARCHITECTURE}, KeyFormat.DIFFUSERS
    )
    start.load(load_lora(tmp_path / "a.safetensors"), ARCHITECTURE)
    same(start, source)
    for key, tensor in start.state_dict().items():
        if key.endswith("lora_down.weight"):
            # Rows of zeros, with columns of zeros above, would never be trained.
            assert bool((tensor.abs().amax(dim=1) > 0).all()), key
        if key.endswith(".alpha"):
            assert float(tensor) == 3


def test_queries_keys_and_values_that_were_trained_apart(tmp_path: Path):
    generator = torch.Generator().manual_seed(3)
    names = {
        "transformer_blocks.0.attn.to_q": 0, "transformer_blocks.0.attn.to_k": 8, "transformer_blocks.0.attn.to_v": 16,
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        tensors[f"transformer.{name}.lora_A.weight"] = torch.randn(2, WIDTH, generator=generator)
        tensors[f"transformer.{name}.lora_B.weight"] = torch.randn(WIDTH, 2, generator=generator)
    save_file(tensors, tmp_path / "a.safetensors")
    lora = load_lora(tmp_path / "a.safetensors")
    layer = "double_blocks.0.img_attn.qkv"
    start, _ = adapters(targets=r"double_blocks\.0\.img_attn\.qkv", rank=8, alpha=8.0)
    start.load(lora, ARCHITECTURE)
    delta = change(start, layer).T
    for name, row in names.items():
        wanted = tensors[f"transformer.{name}.lora_B.weight"] @ tensors[f"transformer.{name}.lora_A.weight"]
        assert torch.allclose(delta[row : row + WIDTH], wanted, atol=1e-4)
    narrow, _ = adapters(targets=r"double_blocks\.0\.img_attn\.qkv", rank=4)
    before = [parameter.clone() for parameter in narrow.parameters]
    with pytest.raises(TrainingError, match=r"needs rank 6 .* set rank to at least 6"):
        narrow.load(lora, ARCHITECTURE)
    assert all(torch.equal(mine, old) for mine, old in zip(narrow.parameters, before, strict=True))


def test_one_part_alone_starts_with_zeros_for_the_others(tmp_path: Path):
    stem = "transformer.single_transformer_blocks.0.attn.to_k"
    save_file(
        {f"{stem}.lora_A.weight": torch.ones(1, WIDTH), f"{stem}.lora_B.weight": torch.ones(WIDTH, 1)},
        tmp_path / "a.safetensors",
    )
    start, _ = adapters(targets="linear1")
    start.load(load_lora(tmp_path / "a.safetensors"), ARCHITECTURE)
    delta = change(start, "single_blocks.0.linear1").T
    assert torch.allclose(delta[WIDTH : 2 * WIDTH], torch.ones(WIDTH, WIDTH), atol=1e-5)
    assert not delta[:WIDTH].any()
    assert not delta[2 * WIDTH :].any()


def test_the_alpha_that_diffusers_notes_in_the_metadata_is_heeded(tmp_path: Path):
    """A file saved by diffusers has no tensor for it."""
    stem = "transformer.transformer_blocks.{}.attn.to_out.0"
    tensors = {
        f"{stem.format(i)}.lora_{part}.weight": torch.ones(2 if part == "A" else WIDTH, WIDTH if part == "A" else 2)
        for i in (0, 1)
        for part in "AB"
    }
    settings = {
        "transformer.r": 2,
        "transformer.lora_alpha": 6,
        "transformer.alpha_pattern": {"transformer_blocks.1.attn.to_out.0": 1},
    }
    save_file(tensors, tmp_path / "a.safetensors", {"format": "pt", "lora_adapter_metadata": json.dumps(settings)})
    lora = load_lora(tmp_path / "a.safetensors")
    assert [float(lora[f"{stem.format(i)}.alpha"]) for i in (0, 1)] == [6, 1]
    start, _ = adapters(targets="img_attn.proj")
    start.load(lora, ARCHITECTURE)
    assert torch.allclose(change(start, "double_blocks.0.img_attn.proj"), torch.full((WIDTH, WIDTH), 2 * 6 / 2.0))
    assert torch.allclose(change(start, "double_blocks.1.img_attn.proj"), torch.full((WIDTH, WIDTH), 2 * 1 / 2.0))
    save_lora(
        tmp_path / "b.safetensors", lora, {"modelspec.architecture": ARCHITECTURE, **lora.metadata}, KeyFormat.DIFFUSERS
    )
    again = load_lora(tmp_path / "b.safetensors")
    assert "lora_adapter_metadata" not in again.metadata
    assert torch.equal(again[f"{stem.format(0)}.lora_up.weight"], torch.full((WIDTH, 2), 3.0))


@pytest.mark.parametrize(
    "settings",
    [
        "{",
        "[]",
        '{"transformer.lora_alpha": "x"}',
        '{"transformer.lora_alpha": 1, "transformer.alpha_pattern": {"(": 1}}',
    ],
)
def test_metadata_that_cannot_be_read_are_named(settings: str, tmp_path: Path):
    stem = "transformer.transformer_blocks.0.attn.to_out.0"
    tensors = {f"{stem}.lora_A.weight": torch.ones(2, WIDTH), f"{stem}.lora_B.weight": torch.ones(WIDTH, 2)}
    save_file(tensors, tmp_path / "a.safetensors", {"lora_adapter_metadata": settings})
    with pytest.raises(TrainingError, match=r"a\.safetensors notes its alpha in 'lora_adapter_metadata'"):
        load_lora(tmp_path / "a.safetensors")


def test_pefts_dora_starts_a_dora_by_the_weights_that_are_at_hand(tmp_path: Path):
    config = {"algorithm": Algorithm.DORA, "targets": "img_attn"}
    source, (start, network) = trained(**config), adapters(**config)
    save_lora(
        tmp_path / "a.safetensors", source.state_dict(), {"modelspec.architecture": ARCHITECTURE}, KeyFormat.DIFFUSERS,
        lambda module: network.get_submodule(module).weight.detach(),
    )  # fmt: skip
    start.load(load_lora(tmp_path / "a.safetensors"), ARCHITECTURE)
    same(start, source)


@pytest.mark.parametrize(
    ("stem", "says"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "would drop .*belongs to a text encoder"),
        ("transformer.transformer_blocks.0.ff_context.net.2", "would drop .*no layer of flux-1-dev"),
        ("lora_unet_nonsense", "would drop .*lora_unet_nonsense"),
        ("diffusion_model.nonsense", "would drop, such as diffusion_model.nonsense"),
    ],
)
def test_layers_that_the_run_would_drop_are_named_with_the_reason(stem: str, says: str):
    source, (start, _) = trained(targets="img_attn.proj"), adapters(targets="img_attn.proj")
    tensors = source.state_dict()
    tensors |= {f"{stem}.lora_up.weight": torch.ones(4, 2), f"{stem}.lora_down.weight": torch.ones(2, 4)}
    with pytest.raises(TrainingError, match=says):
        start.load(tensors, ARCHITECTURE)
