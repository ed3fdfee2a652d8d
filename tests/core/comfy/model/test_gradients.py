"""Gradients of every architecture: checkpointed, plain, and against the slope."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, TrainingDtype
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, gradients, loss

pytestmark = pytest.mark.comfy


def _of(block: str, *layers: str) -> set[str]:
    return {f"{block}.{layer}" for layer in layers}


# What the last block of these makes of the text, nobody reads.
_QWEN = _of("transformer_blocks.1", "txt_mlp.net.0.proj", "txt_mlp.net.2", "attn.add_q_proj", "attn.to_add_out")
IDLE = {
    "qwen_image": _QWEN,
    "mage_flow": _QWEN,
    "lens": _of("transformer_blocks.1", "attn.to_add_out", "txt_mlp.w1", "txt_mlp.w2", "txt_mlp.w3"),
    "joy_image": _of("double_blocks.1", "attn.txt_attn_proj", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
    "pixeldit": _of("patch_blocks.1", "attn.proj_y", "mlp_y.w1", "mlp_y.w2", "mlp_y.w3"),
}


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_gradients_of_every_architecture_are_right(name: str) -> None:
    """Checkpointed equals plain; both equal central differences; no adapter is left without a gradient."""
    with adapted(name) as (denoiser, adapters):
        plain = gradients(name, denoiser, adapters, checkpoint=False)
        pairs = zip(adapters.layer_names, adapters.parameters[::2], strict=True)
        assert {layer for layer, down in pairs if down.grad is None or down.grad.norm() == 0} == IDLE.get(name, set())
        checkpointed = gradients(name, denoiser, adapters, checkpoint=True)
        assert (checkpointed - plain).norm() < 1e-4 * plain.norm()
        direction = plain / plain.norm()
        step = 0.02
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                moves = direction.split([parameter.numel() for parameter in adapters.parameters])
                for parameter, move in zip(adapters.parameters, moves, strict=True):
                    parameter.add_(sign * step * move.reshape(parameter.shape))
                values.append(loss(name, denoiser, False).double())
                for parameter, move in zip(adapters.parameters, moves, strict=True):
                    parameter.sub_(sign * step * move.reshape(parameter.shape))
        numeric = float((values[0] - values[1]) / (2 * step))
        assert numeric == pytest.approx(float(plain.norm()), rel=1e-2)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_checkpointing_changes_nothing_in_bf16_either(name: str) -> None:
    with open_denoiser(
        tiny.load_model(name, torch.bfloat16), tiny.text_for(name), dtype=TrainingDtype.BF16
    ) as denoiser:
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4, alpha=4), denoiser.default_targets, torch.Generator().manual_seed(0),
            denoiser.device, torch.float32,
        )  # fmt: skip
        with adapters.attach(), torch.autocast(denoiser.device.type, dtype=torch.bfloat16):
            plain, checkpointed = (gradients(name, denoiser, adapters, checkpoint) for checkpoint in (False, True))
    assert torch.isfinite(plain).all()
    assert plain.norm() > 0
    # A block that runs again may add up in another order where it was given more at once.
    assert (checkpointed - plain).norm() < 2e-2 * plain.norm()


@pytest.mark.parametrize("name", ["flux", "hunyuan_video"])
def test_adapters_before_the_blocks_get_the_right_gradient_too(name: str) -> None:
    """Their gradient passes through every checkpointed block's inputs (modulation, text stream)."""
    with adapted(name, targets=r"^(img_in|txt_in|time_in|vector_in)") as (denoiser, adapters):
        plain = gradients(name, denoiser, adapters, checkpoint=False)
        checkpointed = gradients(name, denoiser, adapters, checkpoint=True)
        assert plain.norm() > 0
        assert (checkpointed - plain).norm() < 1e-4 * plain.norm()
