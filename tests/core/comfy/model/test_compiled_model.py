"""ComfyUI's models with compiled blocks: gradients, how often is compiled, refusals, and what stays of it.

What is slow is the C++ compiler, so most of these leave out code generation (`aot_eager`): Dynamo's tracing, its guards
and the joint graph of forward and backward are the same.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.autograd import compiler
from maskloss.core.comfy.model import compiled_model
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm
from maskloss.core.train.denoiser import Needed
from tiny_comfy import routed
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import gradients, sample

from .test_held_model import adapted, run
from .test_sampling import Watcher, sampling

pytestmark = pytest.mark.comfy
COMPILED = BaseConfig(compile_blocks=True)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but code generation."""
    blocks = partial(compiled_model.CompiledBlocks, backend="aot_eager")
    monkeypatch.setattr(compiled_model, "CompiledBlocks", blocks)
    monkeypatch.setattr(compiler, "check_compiler", lambda device: None)


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch, traced: None) -> None:
    """Code generation too, where there is a compiler."""
    monkeypatch.undo()
    try:
        compiler.check_compiler(CPU)
    except TrainingError as problem:
        pytest.skip(str(problem))


def of_adapters(name: str, base: BaseConfig, checkpoint: bool, **lora: Any) -> torch.Tensor:
    with adapted(name, base, **lora) as (denoiser, adapters):
        result = gradients(name, denoiser, adapters, checkpoint)
        assert bool(denoiser.compiled_note) == base.compile_blocks
        return result


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("name", ["wan", "flux", "sdxl"])
def test_gradients_are_those_without(name: str, checkpoint: bool) -> None:
    assert_close(of_adapters(name, COMPILED, checkpoint), of_adapters(name, BaseConfig(), checkpoint))


def test_generated_code_has_the_same_gradients(generated: None) -> None:
    assert_close(of_adapters("wan", COMPILED, True), of_adapters("wan", BaseConfig(), True))


def test_other_algorithms_are_compiled_too() -> None:
    found, expected = (of_adapters("wan", base, True, algorithm=Algorithm.DORA) for base in (COMPILED, BaseConfig()))
    assert_close(found, expected)


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("held", [(BasePrecision.INT8, 0), (BasePrecision.AS_LOADED, 2), (BasePrecision.INT8, 1)])
def test_weights_that_are_held_otherwise_stay_so(held: tuple[BasePrecision, int], checkpoint: bool) -> None:
    assert_close(
        of_adapters("wan", BaseConfig(*held, True), checkpoint), of_adapters("wan", BaseConfig(*held), checkpoint)
    )


def test_fp8_weights_are_cast_as_ever() -> None:
    """By ComfyUI, whose layers are one operation in compiled code."""

    def gradient(base: BaseConfig) -> torch.Tensor:
        clean, noise, t = sample("wan")
        text = tiny.text_for("wan")
        with open_denoiser(tiny.load_model("wan", torch.float8_e4m3fn), text, base=base) as denoiser:
            noise.requires_grad_(True)
            loss = denoiser.predict(clean, noise, t, [text] * 2, True).square().mean()
            (result,) = torch.autograd.grad(loss, noise)
            assert bool(denoiser.compiled_note) == base.compile_blocks
            return result

    assert_close(gradient(COMPILED), gradient(BaseConfig()))


def test_routed_tokens_go_through_compiled_blocks() -> None:
    name = "wan_deep"
    found: list[torch.Tensor] = []
    for base in (COMPILED, BaseConfig()):
        with adapted(name, base) as (denoiser, adapters):
            kept = routed.kept_tokens(denoiser, sample(name)[0])
            found.append(routed.gradients(name, denoiser, adapters, True, kept)[1])
    assert_close(*found)


def test_the_last_block_still_saves_what_does_not_count() -> None:
    def partial_gradients(base: BaseConfig) -> torch.Tensor:
        with adapted("wan", base) as (denoiser, adapters):
            cells = torch.zeros(2, 1, *sample("wan")[0].shape[2:])
            cells[..., :3, :3] = 1
            needed = Needed(cells, others=False)
            assert denoiser.saves(needed)
            with denoiser.count_only(needed):
                return _masked_gradients(denoiser, adapters, cells)

    assert_close(partial_gradients(COMPILED), partial_gradients(BaseConfig()))


def _masked_gradients(denoiser: ComfyDenoiser, adapters: LoraAdapters, cells: torch.Tensor) -> torch.Tensor:
    clean, noise, t = sample("wan")
    texts = [tiny.text_for("wan", length=length, seed=length) for length in (6, 4)]
    (denoiser.predict(clean, noise, t, texts, True) * cells).square().mean().backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters])


def test_equal_blocks_share_code_and_further_sizes_compile_once_more(caplog: pytest.LogCaptureFixture) -> None:
    counts: list[str] = []
    with adapted("wan", COMPILED) as (denoiser, _):
        text = tiny.text_for("wan")
        for height, width in ((8, 8), (8, 12), (16, 8), (12, 16), (10, 14), (20, 8)):
            latent = torch.zeros(1, *tiny.latent_shape("wan", height=height, width=width))
            denoiser.predict(latent, torch.ones_like(latent), torch.tensor([0.5]), [text], True).mean().backward()
            counts.append(denoiser.compiled_note)
    pieces = [int(note.split()[1]) for note in counts]
    assert pieces[0] == 2, "without a graph and with one; both blocks share them"
    assert pieces[-1] == pieces[1] <= 4, "what was compiled for the second size serves every other"


def test_a_whole_run_says_what_was_compiled_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    before = tiny.sampled(tiny.load_model("wan"), "wan")
    watcher, prior = Watcher(), MaskLossSettings(prior_weight=0.5)
    compiled = run("wan", tmp_path, "compiled", COMPILED, watcher, sampling("wan"), prior, validation_split=0.5)
    plain = run("wan", tmp_path, "plain", BaseConfig(), None, sampling("wan"), prior, validation_split=0.5)
    for one, other in zip(compiled.points, plain.points, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        assert one.prior == pytest.approx(other.prior, rel=1e-3)
    assert any("pieces of code compiled so far" in text for text in watcher.texts)
    assert torch.equal(tiny.sampled(tiny.load_model("wan"), "wan"), before)
    network = tiny.load_model("wan").model.diffusion_model
    assert not [name for name, module in network.named_modules() if "forward" in vars(module) or module._forward_hooks]
    assert model_identity(tiny.load_model("wan"), base=COMPILED) != model_identity(tiny.load_model("wan"))


def test_an_interrupt_leaves_nothing_compiled(tmp_path: Path) -> None:
    network = tiny.load_model("wan").model.diffusion_model
    limit = torch._dynamo.config.recompile_limit
    with pytest.raises(tiny.management.InterruptProcessingException):
        run("wan", tmp_path, "lora", COMPILED, Watcher(stop_at_check=2))
    assert not [name for name, module in network.named_modules() if "forward" in vars(module) or module._forward_hooks]
    assert torch._dynamo.config.recompile_limit == limit


def test_a_block_that_somebody_has_replaced_runs_as_it_is() -> None:
    model, calls = tiny.load_model("wan"), []
    block = model.model.diffusion_model.blocks[0]

    def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(torch.compiler.is_compiling())
        return type(block).forward(block, *args, **kwargs)

    model.add_object_patch("diffusion_model.blocks.0.forward", forward)
    with open_denoiser(model, tiny.text_for("wan"), base=COMPILED) as denoiser:
        latent = torch.zeros(1, *tiny.latent_shape("wan"))
        denoiser.predict(latent, torch.ones_like(latent), torch.tensor([0.5]), [tiny.text_for("wan")], False)
    # ComfyUI leaves the method itself in the block, which other tests use too.
    model.detach()
    vars(block).pop("forward")
    assert calls
    assert not any(calls)


def test_dropout_is_refused_before_the_model_is_loaded() -> None:
    refused = pytest.raises(TrainingError, match="compile_blocks and dropout in the LoRA do not go together")
    with refused, open_denoiser(tiny.load_model("wan"), tiny.text_for("wan"), dropout=True, base=COMPILED):
        pass
    assert not tiny.management.in_training


@contextmanager
def _without_compiler(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", (None, "/nowhere/c++"))
    yield


def test_without_a_compiler_a_run_is_refused_before_the_model_is_loaded(
    generated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = pytest.raises(TrainingError, match=r"there is no compiler here\. It needs a C\+\+ compiler: g\+\+")
    with (
        _without_compiler(monkeypatch),
        refused,
        open_denoiser(tiny.load_model("wan"), tiny.text_for("wan"), base=COMPILED),
    ):
        pass
    assert not tiny.management.in_training
