import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.store import LatentCache
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import TrainingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.algorithms import near_square_factors
from maskloss.core.train.config import Algorithm, LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora, with_key_format
from maskloss.core.train.recipe import TrainingRecipe
from torch import nn

EVERY = list(Algorithm)
# Linear, and convolutions of one to three dimensions with a stride, padding and dilation.
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(12, 20), (2, 5, 12)),
    "unbiased": (nn.Linear(12, 20, bias=False), (3, 12)),
    "conv1d": (nn.Conv1d(12, 20, 3, stride=2, padding=1), (2, 12, 9)),
    "conv2d": (nn.Conv2d(12, 20, (3, 1), stride=(2, 1), padding=(2, 0), dilation=2), (2, 12, 9, 5)),
    "conv3d": (nn.Conv3d(12, 20, (1, 3, 2), padding=(0, 1, 1)), (2, 12, 2, 5, 4)),
}


def fresh(layer: str, config: LoraConfig) -> tuple[nn.Sequential, LoraAdapters, torch.Tensor]:
    """A net of that layer alone, named "0", its adapter, and an input."""
    generator = torch.Generator().manual_seed(0)
    module, shape = LAYERS[layer]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
    net = nn.Sequential(module)
    adapters = LoraAdapters(net, config, ".", generator, torch.device("cpu"), torch.float32)
    return net, adapters, torch.randn(shape, generator=generator)


def randomise(adapters: LoraAdapters) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in adapters.parameters:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def merged_weight(weight: torch.Tensor, file: dict[str, torch.Tensor]) -> torch.Tensor:
    """W + ΔW from a file's tensors, by the formulas alone."""
    parts = {key.removeprefix("diffusion_model.0."): value for key, value in file.items()}
    if "hada_w1_a" in parts:
        scale = parts["alpha"] / parts["hada_w1_b"].shape[0]
        change = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    elif "lokr_w1" in parts:
        whole = "lokr_w2" in parts
        scale = 1.0 if whole else parts["alpha"] / parts["lokr_w2_b"].shape[0]
        second = parts["lokr_w2"].flatten(1) if whole else parts["lokr_w2_a"] @ parts["lokr_w2_b"]
        change = torch.kron(parts["lokr_w1"], second)
    else:
        down = parts["lora_down.weight"]
        scale = parts["alpha"] / down.shape[0]
        change = parts["lora_up.weight"].flatten(1) @ down.flatten(1)
    merged = weight + scale * change.reshape(weight.shape)
    if "dora_scale" in parts:
        norm = weight.flatten(1).square().sum(dim=1).sqrt()
        merged = merged * (parts["dora_scale"].flatten() / norm).reshape(-1, *(1 for _ in weight.shape[1:]))
    return merged


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("layer", list(LAYERS))
@pytest.mark.parametrize("algorithm", EVERY)
def test_fresh_changes_no_bit_and_filled_equals_the_merged_weight(algorithm: Algorithm, layer: str, rank: int):
    config = LoraConfig(rank=rank, alpha=2.0, algorithm=algorithm, conv=layer.startswith("conv"))
    net, adapters, x = fresh(layer, config)
    before = net(x)
    with adapters.attach():
        assert torch.equal(net(x), before)
        randomise(adapters)
        acting = net(x)
    assert not torch.allclose(acting, before, atol=1e-2)
    with torch.no_grad():
        net[0].weight.copy_(merged_weight(net[0].weight, adapters.state_dict()))
    assert torch.allclose(acting, net(x), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", ["linear", "conv2d"])
@pytest.mark.parametrize("algorithm", EVERY)
def test_gradients_are_those_of_the_merged_weight_and_the_base_gets_none(algorithm: Algorithm, layer: str):
    net, adapters, x = fresh(layer, LoraConfig(rank=3, alpha=2.0, algorithm=algorithm, conv=layer == "conv2d"))
    randomise(adapters)
    with adapters.attach():
        x.requires_grad_(True)
        output = net(x)
        direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        found = torch.autograd.grad((output * direction).sum(), [*adapters.parameters, x])
        assert net[0].weight.grad is None
        assert not net[0].weight.requires_grad

    names = [name for name in adapters.state_dict() if not name.endswith(".alpha")]
    values = {name: value.requires_grad_(True) for name, value in adapters.state_dict().items()}
    weight = merged_weight(net[0].weight.detach(), values)
    output = torch.func.functional_call(net, {"0.weight": weight}, (x,))
    wanted = torch.autograd.grad((output * direction).sum(), [*(values[name] for name in names), x])
    for mine, its in zip(found, wanted, strict=True):
        assert torch.allclose(mine, its, rtol=1e-4, atol=1e-3 * float(its.abs().max()))


@pytest.mark.parametrize(
    ("algorithm", "conv", "shapes"),
    [
        (Algorithm.LORA, False, {"lora_down.weight": (2, 12), "lora_up.weight": (20, 2)}),
        (Algorithm.DORA, False, {"lora_down.weight": (2, 12), "lora_up.weight": (20, 2), "dora_scale": (20, 1)}),
        (
            Algorithm.DORA, True,
            {"lora_down.weight": (2, 12, 3, 1), "lora_up.weight": (20, 2, 1, 1), "dora_scale": (20, 1, 1, 1)},
        ),
        (
            Algorithm.LOHA, True,
            {"hada_w1_a": (20, 2), "hada_w1_b": (2, 36), "hada_w2_a": (20, 2), "hada_w2_b": (2, 36)},
        ),
        (Algorithm.LOKR, False, {"lokr_w1": (4, 3), "lokr_w2_a": (5, 2), "lokr_w2_b": (2, 4)}),
        (Algorithm.LOKR, True, {"lokr_w1": (4, 3), "lokr_w2_a": (5, 2), "lokr_w2_b": (2, 12)}),
    ],
)  # fmt: skip
def test_names_and_shapes_are_those_of_lycoris(algorithm: Algorithm, conv: bool, shapes: dict[str, tuple[int, ...]]):
    _, adapters, _ = fresh("conv2d" if conv else "linear", LoraConfig(rank=2, algorithm=algorithm, conv=conv))
    found = {key.removeprefix("diffusion_model.0."): tuple(value.shape) for key, value in adapters.state_dict().items()}
    assert found == {**shapes, "alpha": ()}


def test_lokr_of_a_large_rank_is_whole_and_says_so_by_its_alpha():
    _, adapters, _ = fresh("conv2d", LoraConfig(rank=16, alpha=1.0, algorithm=Algorithm.LOKR, conv=True))
    tensors = adapters.state_dict()
    assert tensors["diffusion_model.0.lokr_w2"].shape == (5, 4, 3, 1)
    assert tensors["diffusion_model.0.alpha"] == 16.0


def test_near_square_factors():
    assert [near_square_factors(size) for size in (127, 128, 250, 360, 1024)] == [
        (1, 127), (8, 16), (10, 25), (18, 20), (32, 32),
    ]  # fmt: skip


@pytest.mark.parametrize("algorithm", EVERY)
def test_alpha_over_rank_scales_the_change(algorithm: Algorithm):
    changes = []
    for alpha in (2.0, 4.0):
        net, adapters, x = fresh("linear", LoraConfig(rank=2, alpha=alpha, algorithm=algorithm))
        with torch.no_grad():
            for name, parameter in zip(adapters.state_dict(), adapters.parameters, strict=False):
                if not name.endswith(("alpha", "dora_scale")):
                    parameter.fill_(0.1)
        base = net(x)
        with adapters.attach():
            changes.append(net(x) - base)
    assert torch.allclose(changes[1], 2 * changes[0], atol=1e-5)


# diffusers has no such model as the demo's.
@pytest.mark.parametrize("form", [form for form in KeyFormat if form is not KeyFormat.DIFFUSERS])
@pytest.mark.parametrize("algorithm", EVERY)
def test_saved_and_loaded_it_is_the_same_adapter(algorithm: Algorithm, form: KeyFormat, tmp_path: Path):
    config = LoraConfig(rank=2, alpha=4.0, algorithm=algorithm)

    def on_demo(seed: int) -> LoraAdapters:
        generator = torch.Generator().manual_seed(seed)
        return LoraAdapters(DemoDenoiser().module, config, "qkv", generator, torch.device("cpu"), torch.float32)

    source, target = on_demo(0), on_demo(1)
    randomise(source)
    save_lora(tmp_path / "a.safetensors", source.state_dict(), key_format=form)
    target.load(load_lora(tmp_path / "a.safetensors"))
    for mine, its in zip(target.parameters, source.parameters, strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(("saved", "mine"), [*pairwise(EVERY), (Algorithm.DORA, Algorithm.LORA)])
def test_another_algorithms_file_is_refused(saved: Algorithm, mine: Algorithm):
    _, source, _ = fresh("linear", LoraConfig(rank=2, algorithm=saved))
    _, target, _ = fresh("linear", LoraConfig(rank=2, algorithm=mine))
    before = [parameter.clone() for parameter in target.parameters]
    with pytest.raises(TrainingError, match=r"use the same algorithm"):
        target.load(with_key_format(source.state_dict(), KeyFormat.KOHYA))
    assert all(torch.equal(parameter, old) for parameter, old in zip(target.parameters, before, strict=True))


def test_dora_keeps_its_magnitude_exact_in_a_bf16_lora():
    generator = torch.Generator().manual_seed(0)
    net, x = nn.Sequential(nn.Linear(12, 20)), torch.randn(2, 12, generator=generator)
    config = LoraConfig(rank=2, algorithm=Algorithm.DORA)
    adapters = LoraAdapters(net, config, ".", generator, torch.device("cpu"), torch.bfloat16)
    before = net(x)
    with adapters.attach():
        assert torch.equal(net(x), before)
    saved = adapters.state_dict([value.float() for value in adapters.parameters])
    assert saved["diffusion_model.0.dora_scale"].dtype == torch.float32
    assert saved["diffusion_model.0.lora_up.weight"].dtype == torch.bfloat16


def test_dora_learns_no_magnitude_where_the_base_has_none():
    generator = torch.Generator().manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(5, 4, generator=generator)
    with torch.no_grad():
        net[0].weight[1] = 0
    config = LoraConfig(rank=2, algorithm=Algorithm.DORA)
    adapters = LoraAdapters(net, config, ".", generator, torch.device("cpu"), torch.float32)
    up, scale = adapters.parameters[1:]
    with torch.no_grad():
        up.fill_(0.1)
    with adapters.attach():
        net(x).square().sum().backward()
    assert scale.grad.flatten().ne(0).tolist() == [True, False, True]
    assert up.grad.ne(0).all()
    assert up.grad.abs().max() < 1e3


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_dora_refuses_quantised_weights_and_the_others_take_them(dtype: torch.dtype):
    net = nn.Sequential(nn.Linear(4, 4))
    net[0].weight = nn.Parameter(net[0].weight.detach().to(dtype), requires_grad=False)
    arguments = (".", torch.Generator(), torch.device("cpu"), torch.float32)
    with pytest.raises(TrainingError, match="'0' is quantised"):
        LoraAdapters(net, LoraConfig(algorithm=Algorithm.DORA), *arguments)
    for algorithm in (Algorithm.LORA, Algorithm.LOHA, Algorithm.LOKR):
        assert LoraAdapters(net, LoraConfig(algorithm=algorithm), *arguments).layer_names == ("0",)


@pytest.mark.parametrize("algorithm", EVERY)
def test_bf16_arithmetic_stays_near_the_exact(algorithm: Algorithm):
    net, adapters, x = fresh("linear", LoraConfig(rank=3, alpha=2.0, algorithm=algorithm))
    randomise(adapters)
    with adapters.attach():
        exact = net(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = net(x)
    assert rough.dtype == torch.bfloat16
    assert math.isclose(float((rough - exact).detach().norm() / exact.detach().norm()), 0.0, abs_tol=0.02)


@pytest.mark.parametrize(
    ("algorithm", "module", "arguments"),
    [
        (Algorithm.LORA, "networks.lora", {}),
        (Algorithm.DORA, "lycoris.kohya", {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"}),
        (Algorithm.LOHA, "lycoris.kohya", {"algo": "loha"}),
        (Algorithm.LOKR, "lycoris.kohya", {"algo": "lokr", "factor": "-1"}),
    ],
)
def test_a_run_resumes_bit_equal_and_its_file_names_the_algorithm(
    algorithm: Algorithm, module: str, arguments: dict[str, str], make_cache: Callable[..., LatentCache], tmp_path: Path
):
    cache = make_cache([("a", (4, 4), torch.ones(1, 1, 4, 4)), ("b", (4, 4), None)])
    lora = LoraConfig(rank=2, alpha=4.0, algorithm=algorithm, dropout=0.2)
    optimizer = OptimizerConfig(learning_rate=1e-2, ema_decay=0.5)

    def run(name: str, steps: int) -> TrainResult:
        config = TrainConfig(steps=steps, gradient_checkpointing=False)
        recipe = TrainingRecipe(cache, MaskLossSettings(), lora, optimizer, config)
        return train(DemoDenoiser(), recipe, tmp_path / name)

    whole = run("whole", 4)
    run("cut", 2)
    resumed = run("cut", 4)
    assert resumed.points == whole.points
    assert all(torch.equal(resumed.lora[key], whole.lora[key]) for key in whole.lora)
    assert whole.points[0].grad_norm > 0
    assert whole.lora.metadata["ss_network_module"] == module
    written = json.loads(whole.lora.metadata["ss_network_args"])
    assert {key: value for key, value in written.items() if key != "conv_dim"} == arguments
