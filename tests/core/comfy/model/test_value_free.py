"""Networks without values: what they are planned to need, against what the same step needs with values."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest
import torch
from maskloss.core.cache.inpainting import VACE
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.held_model import HeldModel, held_layers
from maskloss.core.comfy.model.value_free import LEAST_RUN, ValueFreeNetwork, weights_in
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.plan.extrapolate import extrapolate_step
from maskloss.core.plan.trial import Opened, RunSettings, Sample, StepMemory, count_step
from maskloss.core.train.config import Algorithm, LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.ranks import Ranks
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.supported_models  # isort: skip

pytestmark = pytest.mark.comfy
logging.getLogger().setLevel(logging.ERROR)
SIDE = 32


def run_settings(checkpoint: bool, lora: LoraConfig | None = None, **config: object) -> RunSettings:
    made = TrainConfig(
        training_dtype=TrainingDtype.FP32,
        gradient_checkpointing=checkpoint,
        batch_size=2,
        **config,  # pyright: ignore
    )
    return RunSettings(lora or LoraConfig(rank=4), OptimizerConfig(), made, MaskLossSettings(prior_weight=0.5))


def sample_of(name: str) -> Sample:
    frames = 2 if tiny.takes_videos(name) and name != "krea2" else 1
    return Sample(tiny.latent_shape(name, frames, SIDE, SIDE), tiny.text_for(name))


def network_of(name: str, dtype: torch.dtype = torch.float32) -> ValueFreeNetwork:
    model = tiny.load_model(name, dtype)
    return ValueFreeNetwork(model.model.model_config, model.get_model_object("model_sampling"))


def planned(name: str, run: RunSettings, dtype: torch.dtype = torch.float32) -> StepMemory:
    sample = sample_of(name)
    with network_of(name, dtype).open(sample.conditioning, run.config.training_dtype) as opened:
        return count_step(opened, sample, run)


def counted(name: str, run: RunSettings, dtype: torch.dtype = torch.float32) -> StepMemory:
    sample = sample_of(name)
    model = tiny.load_model(name, dtype)
    with open_denoiser(model, sample.conditioning, dtype=run.config.training_dtype) as denoiser:
        return count_step(Opened(denoiser, (), nullcontext), sample, run)


def predicted(name: str) -> torch.Tensor:
    sample = sample_of(name)
    noise_BCThw = torch.randn(1, *sample.latent_shape, generator=torch.Generator().manual_seed(0))
    given, t_B = [sample.conditioning], torch.full((1,), 0.5)
    with open_denoiser(tiny.load_model(name), sample.conditioning) as denoiser, torch.no_grad():
        return denoiser.predict(torch.zeros_like(noise_BCThw), noise_BCThw, t_B, given, False)


def assert_near(planned: StepMemory, real: StepMemory) -> None:
    assert planned.parameters == real.parameters
    assert planned.adapters == real.adapters
    assert planned.operations == pytest.approx(real.operations, rel=0.01)
    assert planned.optimizer == pytest.approx(real.optimizer, rel=0.01)
    assert planned.peak == pytest.approx(real.peak, rel=0.03)
    assert planned.activations == pytest.approx(real.activations, rel=0.03)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_the_planned_peak_is_the_counted_one_and_the_model_predicts_as_before(name: str):
    before = predicted(name)
    for checkpoint in (True, False):
        run = run_settings(checkpoint)
        assert_near(planned(name, run), counted(name, run))
    after = predicted(name)
    # Networks might keep what they have made without values.
    assert type(after) is torch.Tensor
    assert torch.equal(after, before)


def test_a_video_with_a_hole_is_planned_too():
    run, model, shape = run_settings(True), tiny.load_model("wan_vace"), (16, 2, SIDE, SIDE)
    text = tiny.text_for("wan_vace")
    sample = Sample(shape, {**text, VACE: torch.zeros(1, 96, *shape[1:])})
    network = ValueFreeNetwork(model.model.model_config, model.get_model_object("model_sampling"), 96)
    with network.open(text, TrainingDtype.FP32) as opened:
        expected = count_step(opened, sample, run)
    with open_denoiser(model, text, dtype=TrainingDtype.FP32) as denoiser:
        real = count_step(Opened(denoiser, (), nullcontext), sample, run)
    assert_near(expected, real)
    with network_of("wan").open(text, TrainingDtype.FP32) as opened:
        assert count_step(opened, Sample(shape, text), run).operations < 0.9 * real.operations


@pytest.mark.parametrize("precision", [BasePrecision.INT8, BasePrecision.NVFP4])
@pytest.mark.parametrize("as_on_cuda", [False, True])
def test_a_base_in_fewer_bits(as_on_cuda: bool, precision: BasePrecision):
    run, sample, base = run_settings(True), sample_of("wan"), BaseConfig(precision)
    with network_of("wan").open(sample.conditioning, TrainingDtype.FP32, as_on_cuda=as_on_cuda, base=base) as opened:
        predicted = count_step(opened, sample, run)
        frozen, held, inside = opened.frozen, opened.held_bytes, opened.inside
    with open_denoiser(tiny.load_model("wan"), sample.conditioning, dtype=TrainingDtype.FP32, base=base) as denoiser:
        real = count_step(Opened(denoiser, (), nullcontext, inside=inside), sample, run)
    assert frozen
    # The largest layer of the tiny WAN, whose values are restored in one operation.
    assert inside == (6 * 128 * 256 if precision is BasePrecision.NVFP4 else 0)
    apart = real.parameters - sum(each.nbytes for each in frozen)
    assert predicted.parameters == real.parameters - apart + held
    # Both are in main memory; on a card only what is held is.
    assert (apart == 0) is not as_on_cuda
    if not as_on_cuda:
        assert predicted.activations == pytest.approx(real.activations, rel=0.03)


@pytest.mark.parametrize("precision", BasePrecision)
def test_blocks_in_main_memory(precision: BasePrecision):
    base = BaseConfig(precision, 2)
    swapped, slots = network_of("wan").apart_bytes(base)
    model, here = tiny.load_model("wan").model, torch.device("cpu")
    with HeldModel(model, here, base) as held:
        with_slots = held.nbytes
    with HeldModel(model, here, BaseConfig(precision)) as held:
        whole = held.nbytes
    if precision is BasePrecision.AS_LOADED:
        whole = sum(each.layer.weight.nbytes for each in held_layers(model, base))
    assert whole - swapped + slots == pytest.approx(with_slots, rel=0.01)
    assert network_of("wan").apart_bytes(BaseConfig(precision)) == (0, 0)
    assert network_of("wan").block_count() == 2
    with pytest.raises(TrainingError, match="has 2 repeated blocks"):
        network_of("wan").apart_bytes(BaseConfig(precision, 3))


@pytest.mark.parametrize("precision", BasePrecision)
def test_blocks_sharded_over_processes(precision: BasePrecision):
    ranks = Ranks()
    ranks.size, ranks.joins = 4, []
    whole = network_of("wan").apart_bytes(BaseConfig(precision, 2))[0]
    sharded, here = network_of("wan").apart_bytes(BaseConfig(precision, peers=ranks))
    assert sharded == whole
    # A quarter of each of the two blocks, and both whole: one is at work, and one on its way.
    with HeldModel(tiny.load_model("wan").model, torch.device("cpu"), BaseConfig(precision, peers=ranks)) as held:
        taken = held.nbytes
    with HeldModel(tiny.load_model("wan").model, torch.device("cpu"), BaseConfig(precision, 2)) as held:
        others = held.nbytes - network_of("wan").apart_bytes(BaseConfig(precision, 2))[1]
    assert here == pytest.approx(whole / 4 + whole, rel=0.05)
    assert taken - others == pytest.approx(here, rel=0.05)
    assert ranks.joins == []


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if each is not Algorithm.LORA])
def test_other_algorithms(algorithm: Algorithm):
    run = run_settings(True, LoraConfig(rank=4, algorithm=algorithm), gradient_accumulation_steps=3)
    assert_near(planned("wan", run), counted("wan", run))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("compute", [TrainingDtype.FP32, TrainingDtype.BF16])
def test_weights_of_fewer_bits(dtype: torch.dtype, compute: TrainingDtype):
    run = run_settings(True).computing_in(compute)
    assert_near(planned("wan", run, dtype), counted("wan", run, dtype))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("wan", {"num_layers": 9}), ("flux", {"depth": 6, "depth_single_blocks": 11}), ("hunyuan_video", {"depth": 7})],
)
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_few_blocks_tell_all_others(kind: str, sizes: dict[str, int], checkpoint: bool):
    network = tiny.NETWORKS[kind]
    configuration = getattr(comfy.supported_models, network.kind)({**network.config, **sizes})
    configuration.set_inference_dtype(torch.float32, None)
    whole, run, sample = ValueFreeNetwork(configuration), run_settings(checkpoint), sample_of(kind)
    lengths = whole.run_lengths()
    assert lengths == tuple(each for each in sizes.values() if each >= LEAST_RUN)

    def count(short):
        with whole.open(sample.conditioning, TrainingDtype.FP32, short) as opened:
            return count_step(opened, sample, run)

    extrapolated, full = extrapolate_step(lengths, count), count(None)
    assert (extrapolated.parameters, extrapolated.adapters) == (full.parameters, full.adapters)
    assert extrapolated.peak == pytest.approx(full.peak, rel=0.002)


def test_nothing_is_left_patched_also_after_an_error():
    before = torch.nn.functional.rms_norm, torch.autograd.graph._get_tid, tiny.management.in_training
    with pytest.raises(KeyError), network_of("wan").open(tiny.text_for("wan"), TrainingDtype.FP32):
        raise KeyError
    planned("wan", run_settings(True))
    assert before == (torch.nn.functional.rms_norm, torch.autograd.graph._get_tid, tiny.management.in_training)


def test_formats_of_files_become_fp8_and_the_configuration_stays():
    configuration = tiny.load_model("wan").model.model_config
    own = dict(vars(configuration))
    given = weights_in(configuration, None)
    given.quant_config = {"mixed_ops": True}
    made = weights_in(given, None)
    assert made.unet_config["dtype"] is torch.float8_e4m3fn
    assert made.quant_config is None
    assert dict(vars(configuration)) == own
