import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters, target_layers
from maskloss.core.train.config import LoraConfig
from torch import nn


def small_net() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=generator)
    return net


def adapters_on(net: nn.Module, config: LoraConfig, targets: str = ".") -> LoraAdapters:
    generator = torch.Generator().manual_seed(1)
    return LoraAdapters(net, config, targets, generator, torch.device("cpu"), torch.float32)


def filled(adapters: LoraAdapters, value: float = 0.1) -> LoraAdapters:
    with torch.no_grad():
        for parameter in adapters.parameters:
            parameter.fill_(value)
    return adapters


def picture() -> torch.Tensor:
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))


def test_default_targets_of_the_demo_model_are_its_blocks_and_output():
    denoiser = DemoDenoiser()
    names = target_layers(denoiser.module, LoraConfig(), denoiser.default_targets)
    assert len(names) == 4 * 8 + 1
    assert "final" in names
    assert "patch" not in names


def test_targets_choose_layers_and_a_miss_names_examples():
    denoiser = DemoDenoiser()
    names = target_layers(denoiser.module, LoraConfig(targets=r"blocks\.0.*qkv|mlp_in"), denoiser.default_targets)
    assert list(names) == ["blocks.0.qkv", *(f"blocks.{block}.mlp_in" for block in range(4))]
    with pytest.raises(TrainingError, match=r"matches no layer.*patch, text, time_in"):
        target_layers(denoiser.module, LoraConfig(targets="to_q"), denoiser.default_targets)


def test_the_listing_counts_layers_by_their_name_in_a_block():
    denoiser = DemoDenoiser()
    listed = adapters_on(denoiser.module, LoraConfig(targets=r"qkv|blocks\.0\.mlp|final")).listing
    assert listed == "4 x qkv, 1 x mlp_in, 1 x mlp_out, 1 x final"
    unet = nn.ModuleDict(
        {
            "input_blocks": nn.ModuleList(
                nn.ModuleDict({"transformer_blocks": nn.ModuleList([nn.ModuleDict({"to_q": nn.Linear(2, 2)})])})
                for _ in range(3)
            )
        }
    )
    assert adapters_on(unet, LoraConfig()).listing == "3 x to_q"


def test_conv_adds_convolutions_and_is_refused_where_there_is_none():
    assert list(target_layers(small_net(), LoraConfig(conv=True), ".")) == ["2", "3", "0"]
    assert list(target_layers(small_net(), LoraConfig(), ".")) == ["2", "3"]
    with pytest.raises(TrainingError, match="no convolution that can take an adapter"):
        target_layers(DemoDenoiser().module, LoraConfig(conv=True), ".")
    with pytest.raises(TrainingError, match="this model has 0"):
        target_layers(small_net(), LoraConfig(conv=True, targets="2"), ".")


def test_a_fresh_adapter_changes_nothing_and_a_filled_one_equals_the_merged_weight():
    net = small_net()
    before = net(picture())
    adapters = adapters_on(net, LoraConfig(rank=3, alpha=6.0, conv=True))
    with adapters.attach():
        assert torch.equal(net(picture()), before)
        filled(adapters)
        with_adapters = net(picture())
    tensors = adapters.state_dict()
    merged = small_net()
    for name in ("2", "3", "0"):
        down = tensors[f"diffusion_model.{name}.lora_down.weight"]
        up = tensors[f"diffusion_model.{name}.lora_up.weight"]
        assert tensors[f"diffusion_model.{name}.alpha"] == 6.0
        layer = merged.get_submodule(name)
        layer.weight.data += (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape) * (6.0 / 3)
    assert torch.allclose(with_adapters, merged(picture()), atol=1e-4)


def test_module_is_left_as_found_even_after_an_exception():
    net = small_net()
    net[2].bias.requires_grad_(False)
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    asked = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    output = net(picture())

    def work() -> None:
        adapters = filled(adapters_on(net, LoraConfig(conv=True)))
        with adapters.attach():
            assert not any(parameter.requires_grad for parameter in net.parameters())
            net(picture()).sum().backward()
            assert all(parameter.grad is None for parameter in net.parameters())
            assert all(parameter.grad is not None for parameter in adapters.parameters)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        work()
    assert all(not layer._forward_hooks for layer in net.modules())
    assert asked == {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name])
    assert torch.equal(net(picture()), output)


def test_disabled_is_the_base_and_enabled_again_afterwards():
    net = small_net()
    base = net(picture())
    adapters = filled(adapters_on(net, LoraConfig()))
    with adapters.attach():
        acting = net(picture())
        with adapters.disable():
            assert torch.equal(net(picture()), base)
        assert torch.equal(net(picture()), acting)
    assert not torch.allclose(acting, base)


def test_holding_other_values_is_undone():
    net = small_net()
    adapters = filled(adapters_on(net, LoraConfig()))
    with adapters.attach():
        acting = net(picture())
        with adapters.swapped_in([torch.zeros_like(parameter) for parameter in adapters.parameters]):
            assert torch.equal(net(picture()), small_net()(picture()))
        assert torch.equal(net(picture()), acting)


def test_dropout_depends_on_the_sample_and_not_on_its_batch_or_the_global_state():
    net = nn.Sequential(nn.Linear(64, 8))
    adapters = filled(adapters_on(net, LoraConfig(rank=2, dropout=0.5)))
    x = torch.randn(2, 10, 64, generator=torch.Generator().manual_seed(4))
    state = torch.get_rng_state()
    with adapters.attach():
        still = net(x)
        adapters.set_dropout_seeds((11, 12))
        dropped = net(x)
        assert torch.equal(net(x), dropped)
        adapters.set_dropout_seeds((12,))
        assert torch.allclose(net(x[1:]), dropped[1:], atol=1e-6)
        adapters.set_dropout_seeds((13,))
        assert not torch.allclose(net(x[1:]), dropped[1:])
        adapters.set_dropout_seeds(())
        assert torch.equal(net(x), still)
    assert not torch.allclose(dropped, still)
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    net = nn.Sequential(nn.Linear(1, 1, bias=False))
    net[0].weight.data.zero_()
    adapters = filled(adapters_on(net, LoraConfig(rank=1, alpha=1.0, dropout=0.25)), 1.0)
    with adapters.attach():
        adapters.set_dropout_seeds((5,))
        output = net(torch.ones(1, 20000, 1)).detach()
    assert (output == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert output.mean() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("form", ["diffusion_model", "kohya"])
def test_loading_gives_the_same_adapter(form: str):
    from maskloss.core.train.lora_file import KeyFormat, with_key_format

    source = filled(adapters_on(DemoDenoiser().module, LoraConfig(rank=2, alpha=4.0), "qkv"), 0.3)
    target = adapters_on(DemoDenoiser().module, LoraConfig(rank=2, alpha=4.0), "qkv")
    target.load(with_key_format(source.state_dict(), KeyFormat(form)))
    for mine, its in zip(target.parameters, source.parameters, strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(
    ("config", "targets", "says"),
    [
        (LoraConfig(rank=2, alpha=4.0), "qkv|final", "no weights for layer 'final'"),
        (LoraConfig(rank=4, alpha=4.0), "qkv", "same rank"),
        (LoraConfig(rank=2, alpha=2.0), "qkv", "alpha 4"),
        (LoraConfig(rank=2, alpha=4.0), r"blocks\.0\..*qkv", "would drop, such as diffusion_model.blocks.1"),
    ],
)
def test_a_lora_that_does_not_fit_is_refused_whole(config: LoraConfig, targets: str, says: str):
    source = filled(adapters_on(DemoDenoiser().module, LoraConfig(rank=2, alpha=4.0), "qkv"), 0.3)
    target = adapters_on(DemoDenoiser().module, config, targets)
    before = [parameter.clone() for parameter in target.parameters]
    with pytest.raises(TrainingError, match=says):
        target.load(source.state_dict())
    assert all(torch.equal(mine, old) for mine, old in zip(target.parameters, before, strict=True))
