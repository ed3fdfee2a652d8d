"""ComfyUI's models with their weights held in fewer bits: gradients, samples, refusals, and what stays of it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.architectures import repeated_blocks
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.four_bits import hold_nvfp4
from maskloss.core.comfy.model.held_model import HeldModel, held_layers
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.frozen.held_weights import from_int8, hold, to_int8
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.observer import TrainObserver
from maskloss.core.train.recipe import TrainingRecipe
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import gradients

from .test_comfy_training import make_cache
from .test_sampling import Watcher, sampling

import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy
INT8, NVFP4 = (BaseConfig(each) for each in (BasePrecision.INT8, BasePrecision.NVFP4))
CPU = torch.device("cpu")


@contextmanager
def adapted(name: str, base: BaseConfig | None, **lora: Any) -> Generator[tuple[ComfyDenoiser, LoraAdapters]]:
    """A denoiser with a LoRA that already does something, in fp32, the same one each time."""
    with open_denoiser(tiny.load_model(name), tiny.text_for(name), base=base) as denoiser:
        generator, config = torch.Generator().manual_seed(0), LoraConfig(**{"rank": 4, "alpha": 4, **lora})
        adapters = LoraAdapters(denoiser.module, config, denoiser.default_targets, generator, CPU, torch.float32)
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        with adapters.attach():
            yield denoiser, adapters


@contextmanager
def dequantised(name: str, base: BaseConfig = INT8) -> Generator[None]:
    """The model's own weights are those that the held ones stand for."""
    with ExitStack() as stack:
        for each in held_layers(tiny.load_model(name).model, base):
            stack.callback(setattr, each.layer, "weight", each.layer.weight)
            held = each.hold(each.name, each.layer.weight, base.precision)
            value = held.restore(held.tensors, torch.float32)
            if each.hold is hold:
                assert torch.equal(value, from_int8(to_int8(each.layer.weight), torch.float32))
            each.layer.weight = torch.nn.Parameter(value, requires_grad=False)
        yield


def of_adapters(name: str, base: BaseConfig | None, checkpoint: bool, **lora: Any) -> torch.Tensor:
    with adapted(name, base, **lora) as (denoiser, adapters):
        return gradients(name, denoiser, adapters, checkpoint)


@pytest.mark.parametrize("base", [INT8, NVFP4], ids=["int8", "nvfp4"])
@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_gradients_are_those_of_the_dequantised_model(name: str, checkpoint: bool, base: BaseConfig) -> None:
    original = of_adapters(name, None, checkpoint)
    found = of_adapters(name, base, checkpoint)
    with dequantised(name, base):
        expected = of_adapters(name, None, checkpoint)
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-4 * expected.norm()
    least, alike = {"int8": (1e-3, 0.99), "nvfp4": (1e-2, 0.9)}[base.precision.value]
    assert (found - original).norm() > least * original.norm(), "fewer bits are not without effect"
    assert torch.nn.functional.cosine_similarity(found, original, dim=0) > alike


@pytest.mark.parametrize("lora", [{"algorithm": Algorithm.LOKR}, {"conv": True}], ids=["lokr", "conv"])
def test_gradients_of_other_adapters_and_of_convolutions_are_those_of_the_dequantised_model(
    lora: dict[str, Any],
) -> None:
    found = of_adapters("sd15", INT8, True, **lora)
    with dequantised("sd15"):
        expected = of_adapters("sd15", None, True, **lora)
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-4 * expected.norm()


def test_dora_starts_from_the_norms_of_the_model_itself() -> None:
    """The LoRA will be used with the model as it is, where a fresh one must change nothing."""

    def norms(base: BaseConfig | None) -> list[torch.Tensor]:
        with open_denoiser(tiny.load_model("wan"), tiny.text_for("wan"), base=base) as denoiser:
            config, generator = LoraConfig(rank=2, algorithm=Algorithm.DORA), torch.Generator().manual_seed(0)
            adapters = LoraAdapters(denoiser.module, config, denoiser.default_targets, generator, CPU, torch.float32)
            return [value for key, value in adapters.state_dict().items() if key.endswith("dora_scale")]

    found, expected = norms(INT8), norms(None)
    assert found
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_blocks_in_main_memory_change_no_bit_of_the_gradients(name: str, checkpoint: bool) -> None:
    total = len(repeated_blocks(tiny.load_model(name).model.diffusion_model))
    expected = of_adapters(name, None, checkpoint)
    assert expected.norm() > 0
    for count in {1, total}:
        assert torch.equal(of_adapters(name, BaseConfig(blocks_in_main_memory=count), checkpoint), expected)


@pytest.mark.parametrize("base", [INT8, NVFP4], ids=["int8", "nvfp4"])
def test_blocks_in_fewer_bits_in_main_memory_are_those_on_the_device(base: BaseConfig) -> None:
    both = BaseConfig(base.precision, 2)
    for checkpoint in (False, True):
        assert torch.equal(of_adapters("flux", both, checkpoint), of_adapters("flux", base, checkpoint))


def test_it_is_said_what_is_in_4_bits_and_what_is_not() -> None:
    with open_denoiser(tiny.load_model("sd15"), tiny.text_for("sd15"), base=NVFP4) as denoiser:
        note = denoiser.weights_note
        assert note not in denoiser.notes, "it is nothing to be warned of"
    layers = held_layers(tiny.load_model("sd15").model, NVFP4)
    fours = sum(each.hold is hold_nvfp4 for each in layers)
    convolutions = sum(each.layer.weight.ndim == 4 for each in layers)
    assert 0 < fours < fours + convolutions <= len(layers)
    assert note.startswith(f"base_precision nvfp4: {fours} linear layers of the repeated blocks are kept in 4 bits")
    assert f"in int8 {convolutions} convolutions and {len(layers) - fours - convolutions} linear layers" in note
    with open_denoiser(tiny.load_model("wan"), tiny.text_for("wan"), base=INT8) as denoiser:
        assert denoiser.weights_note == ""


def run(
    name: str, directory: Path, output: str, base: BaseConfig, watcher: TrainObserver | None = None,
    asked: Any = None, settings: MaskLossSettings | None = None, **config: Any,
) -> TrainResult:  # fmt: skip
    cache = make_cache(name, directory)
    chosen = TrainConfig(**{"steps": 3, "training_dtype": TrainingDtype.FP32, **config})
    recipe = TrainingRecipe(cache, settings, LoraConfig(rank=4, alpha=4), OptimizerConfig(learning_rate=0.01), chosen)
    with torch.inference_mode(), open_denoiser(tiny.load_model(name), cache.empty_text(), base=base) as denoiser:
        return train(denoiser, recipe, directory / output, watcher, asked)


@pytest.mark.parametrize(("name", "base"), [("wan", INT8), ("flux", INT8), ("wan", NVFP4)])
def test_a_whole_run_leaves_the_model_as_it_was_and_its_lora_loads_whole(
    name: str, base: BaseConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = tiny.sampled(tiny.load_model(name), name)
    prior = MaskLossSettings(prior_weight=0.5)
    result = run(name, tmp_path, "lora", base, settings=prior, validation_split=0.5)
    assert result.steps == 3
    assert all(torch.isfinite(torch.tensor([point.loss, point.prior or 0.0])).all() for point in result.points)
    assert torch.equal(tiny.sampled(tiny.load_model(name), name), before)
    file = comfy.utils.load_torch_file(str(result.path))
    with caplog.at_level(logging.WARNING):
        patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file)
    assert not [text for text in caplog.messages if "not loaded" in text.lower()]


def test_a_whole_run_with_all_blocks_in_main_memory_is_the_run_without(tmp_path: Path) -> None:
    prior = MaskLossSettings(prior_weight=0.5)
    before = tiny.sampled(tiny.load_model("wan"), "wan")
    runs = [
        run(
            "wan",
            tmp_path,
            f"lora{count}",
            BaseConfig(blocks_in_main_memory=count),
            settings=prior,
            asked=sampling("wan"),
        )
        for count in (0, 2)
    ]
    assert runs[0].points == runs[1].points
    assert all(torch.equal(runs[0].lora[key], runs[1].lora[key]) for key in runs[0].lora)
    assert torch.equal(tiny.sampled(tiny.load_model("wan"), "wan"), before)


def test_plain_fp8_weights_may_be_in_main_memory() -> None:
    def gradient(base: BaseConfig | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(7)
        clean, noise = (torch.randn(2, *tiny.latent_shape("wan"), generator=generator) for _ in range(2))
        text = tiny.text_for("wan")
        with open_denoiser(tiny.load_model("wan", torch.float8_e4m3fn), text, base=base) as denoiser:
            noise.requires_grad_(True)
            loss = denoiser.predict(clean, noise, torch.tensor([0.3, 0.7]), [text] * 2, False).square().mean()
            return torch.autograd.grad(loss, noise)[0]

    assert torch.equal(gradient(BaseConfig(blocks_in_main_memory=2)), gradient(None))


def test_more_blocks_than_there_are_are_refused_and_nothing_stays() -> None:
    text = tiny.text_for("wan")
    with (
        pytest.raises(
            TrainingError, match="blocks_in_main_memory is 3, but WAN21 has 2 repeated blocks; set it to at most 2"
        ),
        open_denoiser(tiny.load_model("wan"), text, base=BaseConfig(blocks_in_main_memory=3)),
    ):
        pass
    assert not tiny.management.in_training


@pytest.mark.parametrize("name", ["wan"])
def test_sample_pictures_leave_no_trace_in_the_training(name: str, tmp_path: Path) -> None:
    plain = run(name, tmp_path, "plain", INT8)
    watched = run(name, tmp_path, "watched", INT8, asked=sampling(name))
    as_loaded = run(name, tmp_path, "as_loaded", BaseConfig(), asked=sampling(name))
    assert all(torch.equal(plain.lora[key], watched.lora[key]) for key in plain.lora)
    first = [(tmp_path / f"{output}.samples" / "step_000000.png").read_bytes() for output in ("watched", "as_loaded")]
    assert first[0] == first[1], "drawn by the model itself, with which the LoRA will be used"
    assert not all(torch.equal(plain.lora[key], as_loaded.lora[key]) for key in plain.lora)


def test_an_interrupt_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    before = tiny.sampled(tiny.load_model("wan"), "wan")
    network = tiny.load_model("wan").model.diffusion_model
    with pytest.raises(tiny.management.InterruptProcessingException):
        run("wan", tmp_path, "lora", INT8, Watcher(stop_at_check=2))
    assert not [name for name, module in network.named_modules() if "forward" in vars(module)]
    assert torch.equal(tiny.sampled(tiny.load_model("wan"), "wan"), before)


@pytest.mark.parametrize(("name", "base"), [("wan", INT8), ("flux", INT8), ("wan", NVFP4)])
def test_a_model_that_is_quantised_already_is_refused(name: str, base: BaseConfig) -> None:
    model = tiny.load_model(name, torch.float8_e4m3fn)
    before = tiny.sampled(model, name)
    with (
        pytest.raises(
            TrainingError,
            match=f"base_precision is {base.precision.value}, but the model is quantised already: .* is kept as "
            "torch.float8_e4m3fn",
        ),
        open_denoiser(model, tiny.text_for(name), base=base),
    ):
        pass
    assert torch.equal(tiny.sampled(model, name), before)
    assert not tiny.management.in_training


@pytest.mark.parametrize(("base", "least", "most"), [(INT8, 0.5, 0.52), (NVFP4, 0.28, 0.3)], ids=["int8", "nvfp4"])
def test_what_the_weights_take_of_what_bf16_takes(base: BaseConfig, least: float, most: float) -> None:
    with torch.inference_mode():
        weights = tiny.load_model("wan").model.diffusion_model.state_dict()
        model = comfy.sd.load_diffusion_model_state_dict(
            {key: value.bfloat16() for key, value in weights.items()}, model_options={"dtype": torch.bfloat16}
        )
    of_layers = sum(each.layer.weight.nbytes for each in held_layers(model.model, base))
    with HeldModel(model.model, CPU, base) as held:
        assert least * of_layers < held.nbytes <= most * of_layers


def test_another_precision_is_another_run() -> None:
    model = tiny.load_model("wan")
    with open_denoiser(model, tiny.text_for("wan"), base=INT8) as denoiser:
        assert denoiser.identity == model_identity(model, None, INT8) == f"{model_identity(model)}-int8"
