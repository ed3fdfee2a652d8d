"""Adapters of every algorithm as one product: equal to what their formulas say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_layers import algorithm_of, as_product, growth_of_rows, layers_of, scale_of
from torch import nn


def parts_of(layer: nn.Module, algorithm: Algorithm, rank: int, alpha: float = 3.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    config = LoraConfig(rank=rank, alpha=alpha, algorithm=algorithm, targets=".", conv=not isinstance(layer, nn.Linear))
    net = nn.Sequential(layer)
    adapters = LoraAdapters(net, config, ".", generator, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for parameter in adapters.parameters:
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layers_of(adapters.state_dict())["diffusion_model.0"]


def formula(parts: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """ΔW in float64, by LyCORIS' definitions."""
    exact = {part: tensor.double() for part, tensor in parts.items()}
    if ".hada_w1_a" in parts:
        delta = (exact[".hada_w1_a"] @ exact[".hada_w1_b"]) * (exact[".hada_w2_a"] @ exact[".hada_w2_b"])
        rank = parts[".hada_w1_b"].shape[0]
    elif ".lokr_w1" in parts:
        whole = ".lokr_w2" in parts
        w2 = exact[".lokr_w2"] if whole else exact[".lokr_w2_a"] @ exact[".lokr_w2_b"]
        small, large = exact[".lokr_w1"], w2.reshape(w2.shape[0], shape[1] // parts[".lokr_w1"].shape[1], *shape[2:])
        delta = torch.einsum("ab,cd...->acbd...", small, large)
        return delta.reshape(shape) * (1 if whole else float(parts[".alpha"]) / parts[".lokr_w2_b"].shape[0])
    else:
        delta = exact[".lora_up.weight"].flatten(1) @ exact[".lora_down.weight"].flatten(1)
        rank = parts[".lora_down.weight"].shape[0]
    return delta.reshape(shape) * (float(parts[".alpha"]) / rank)


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(12, 20), nn.Linear(36, 6), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 6, 1), nn.Conv1d(6, 9, 3)],
    ids=["wide", "narrow", "conv", "conv1x1", "conv1d"],
)
@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_product_is_what_the_algorithm_adds(algorithm: Algorithm, rank: int, layer: nn.Module):
    parts = parts_of(layer, algorithm, rank)
    shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
    product, wanted = as_product("x", parts, shape[2:]), formula(parts, shape)
    found = product.up.double().flatten(1) @ product.down.double().flatten(1)
    assert torch.allclose(found.reshape(shape), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    assert algorithm_of(parts) == algorithm.value
    assert product.up.shape == (shape[0], product.rank, *(1 for _ in shape[2:]))
    assert product.down.shape == (product.rank, *shape[1:])
    assert product.rank <= max(rank, min(shape[0], product.down[0].numel()))


def test_the_rank_of_a_loha_is_squared_and_of_a_lokr_times_the_smaller_side():
    assert as_product("x", parts_of(nn.Linear(64, 64), Algorithm.LOHA, 3)).rank == 9
    lokr = parts_of(nn.Linear(64, 256), Algorithm.LOKR, 2)
    assert as_product("x", lokr).rank == 2 * min(lokr[".lokr_w1"].shape)


@given(st.integers(-6, 6), st.sampled_from([torch.bfloat16, torch.float16, torch.float32]))
@settings(max_examples=30, deadline=None)
def test_a_scale_by_a_power_of_two_keeps_the_precision_and_every_bit(power: int, dtype: torch.dtype):
    up = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    parts = {".lora_up.weight": up, ".lora_down.weight": torch.ones(4, 3), ".alpha": torch.tensor(4 * 2.0**power)}
    product = as_product("x", parts)
    assert product.up.dtype == dtype
    assert torch.equal(product.up.double(), up.double() * 2.0**power)


def test_another_scale_leaves_sixteen_bits():
    up = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    parts = {".lora_up.weight": up, ".lora_down.weight": torch.ones(3, 3), ".alpha": torch.tensor(2.0)}
    assert as_product("x", parts).up.dtype == torch.float32
    assert torch.allclose(as_product("x", parts).up, up.float() * 2 / 3)


def test_without_alpha_nothing_is_scaled():
    assert scale_of({".lora_down.weight": torch.ones(4, 3)}) == 1
    whole = {".lokr_w1": torch.ones(2, 2), ".lokr_w2": torch.ones(2, 2), ".alpha": torch.tensor(7.0)}
    assert scale_of(whole) == 1


def test_the_growth_of_rows_is_that_of_the_merged_weight():
    layer = nn.Linear(12, 20)
    parts = parts_of(layer, Algorithm.DORA, 2)
    merged = layer.weight.double() + formula(parts, (20, 12))
    wanted = merged.norm(dim=1) / layer.weight.double().norm(dim=1)
    assert torch.allclose(growth_of_rows("x", parts, layer.weight.detach()), wanted.detach(), rtol=1e-5)
    with pytest.raises(TrainingError, match=r"has the shape \(20, 13\).*\(20, 12\)"):
        growth_of_rows("x", parts, torch.ones(20, 13))


@pytest.mark.parametrize("tucker", [".lora_mid.weight", ".hada_t1", ".lokr_t2"])
def test_a_tucker_decomposition_is_refused(tucker: str):
    with pytest.raises(TrainingError, match="Tucker"):
        as_product("x", {**parts_of(nn.Linear(6, 6), Algorithm.LORA, 2), tucker: torch.ones(2, 2)})


def test_half_an_adapter_is_refused():
    with pytest.raises(TrainingError, match="no LoRA, DoRA, LoHa or LoKr"):
        as_product("x", {".lora_up.weight": torch.ones(2, 2)})
