"""One training step on the CPU in a process of its own: what was planned, what was counted, how much the process grew.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.plan_process wan [--no-checkpointing] [--small]

A small network of the same class makes a step first, so that libraries have taken what they keep. Prints JSON, in
bytes. `plan` runs it with the C library's allocator set to give memory back.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

sys.path.insert(0, os.environ.get("COMFYUI_PATH", ""))
try:
    import comfy.cli_args
except ImportError as problem:
    sys.exit(f"Set COMFYUI_PATH to a ComfyUI checkout and use its own interpreter ({problem}).")
comfy.cli_args.args.cpu = True

import comfy.model_patcher  # noqa: E402
import comfy.supported_models  # noqa: E402
import torch  # noqa: E402
from maskloss.core.comfy.model.denoiser import open_denoiser  # noqa: E402
from maskloss.core.comfy.model.full_size import full_size_models  # noqa: E402
from maskloss.core.comfy.model.value_free import ValueFreeNetwork  # noqa: E402
from maskloss.core.mask_weights import MaskLossSettings  # noqa: E402
from maskloss.core.plan.peak import PeakMemory  # noqa: E402
from maskloss.core.plan.trial import Opened, RunSettings, Sample, StepMemory, count_step  # noqa: E402
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype  # noqa: E402

DTYPE = TrainingDtype.FP32


@dataclass(frozen=True, eq=False)
class Network:
    """A published model made smaller: what is other in its configuration, in that of one still smaller, and in that of
    the one that goes first, and the latent's height and width."""

    published: str
    sizes: Mapping[str, Any]
    small: Mapping[str, Any]
    first: Mapping[str, Any]
    side: int = 64


NETWORKS = {
    "wan": Network(
        "wan2.1-1.3b",
        {"dim": 1024, "ffn_dim": 4096, "num_heads": 8, "num_layers": 4},
        {"dim": 512, "ffn_dim": 2048, "num_heads": 4, "num_layers": 4},
        {"dim": 128, "ffn_dim": 256, "num_heads": 1, "num_layers": 1},
    ),
    "flux": Network(
        "flux-1-dev",
        {"hidden_size": 1024, "num_heads": 8, "depth": 2, "depth_single_blocks": 4},
        {"hidden_size": 512, "num_heads": 4, "depth": 2, "depth_single_blocks": 2},
        {"hidden_size": 128, "num_heads": 1, "depth": 1, "depth_single_blocks": 1},
    ),
    "qwen-image": Network(
        "qwen-image",
        {"num_attention_heads": 8, "num_layers": 3},
        {"num_attention_heads": 4, "num_layers": 2},
        {"num_attention_heads": 1, "num_layers": 1},
    ),
    "sd1.5": Network("sd1.5", {"model_channels": 128}, {"model_channels": 64}, {"model_channels": 32}),
}


@dataclass(frozen=True)
class Measured:
    """Bytes: the frozen weights, the peak that was planned and the one that was counted, and by how much the process
    had grown at most, from before the network was there."""

    parameters: int
    planned: int
    counted: int
    grown: int


def measure(name: str, checkpoint: bool, small: bool) -> Measured:
    """Make a step, then plan it."""
    network = NETWORKS[name]
    sizes, side = (network.small, network.side // 2) if small else (network.sizes, network.side)
    config = TrainConfig(training_dtype=DTYPE, gradient_checkpointing=checkpoint)
    run = RunSettings(LoraConfig(rank=8), OptimizerConfig(), config, MaskLossSettings(min_weight=0.05))
    _step(network, network.first, 16, run)
    memory = PeakMemory(torch.device("cpu"))
    counted, peak = _step(network, sizes, side, run, memory)
    with ValueFreeNetwork(_configuration(network, sizes)).open(_caption(network), DTYPE) as opened:
        planned = count_step(opened, _sample(network, opened, side), run)
    return Measured(counted.parameters, planned.peak, counted.peak, peak)


def _step(
    network: Network, sizes: Mapping[str, Any], side: int, run: RunSettings, peak: PeakMemory | None = None
) -> tuple[StepMemory, int]:
    """The counted step, and the peak in it. It is the second one, the first being small."""
    with torch.inference_mode():
        model = _configuration(network, sizes).get_model({}, "", device="cpu")
        generator = torch.Generator().manual_seed(0)
        for parameter in model.diffusion_model.parameters():
            width = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.data.normal_(generator=generator).mul_(max(width, 1) ** -0.5)
        for buffer in model.diffusion_model.buffers():
            buffer.zero_()
        patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    with open_denoiser(patcher, _caption(network), dtype=DTYPE) as denoiser:
        opened = Opened(denoiser, (), nullcontext)
        count_step(opened, _sample(network, opened, 16), run)
        if peak:
            peak.forget()
        memory = count_step(opened, _sample(network, opened, side), run)
        return memory, (peak.peak or 0) if peak else 0


def _configuration(network: Network, sizes: Mapping[str, Any]) -> Any:
    published = full_size_models()[network.published]
    made = getattr(comfy.supported_models, published.kind)({**published.network, **sizes})
    made.set_inference_dtype(torch.float32, None)
    return made


def _sample(network: Network, opened: Opened, side: int) -> Sample:
    return Sample((opened.denoiser.latent_channels, 1, side, side), _caption(network))


@cache
def _caption(network: Network) -> Mapping[str, torch.Tensor]:
    """Made once: it is there before a run, and no part of what is measured."""
    return full_size_models()[network.published].caption.embeddings()


def main() -> None:
    """Measure one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--no-checkpointing", action="store_true")
    parser.add_argument("--small", action="store_true", help="a hundred MB instead of several")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    print(json.dumps(asdict(measure(options.name, not options.no_checkpointing, options.small))))


if __name__ == "__main__":
    main()
