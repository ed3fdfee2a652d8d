"""How long a training step takes here, in ComfyUI's own TrainLoraNode, and in the bare frozen model.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.step [--rounds 21] [--batch-rounds 5]

All contenders train the same random WAN (width 1024, 4 blocks, 256 picture tokens) on the same four pictures in fp32 on
the CPU with LoRAs of the same rank. Their captions have 120 tokens (--text-tokens), filled with zeros up to 512, as
ComfyUI's text encoder gives them to WAN. Each contender runs in a process of its own, in a thread as ComfyUI's nodes
do, and makes two steps in turn, so that a machine which is busy with other things is equally slow for all; the second
counts, for the first finds the caches full of what the others left there, as no step within a training does. Who begins
changes from round to round. On a virtual machine a step is made again when the host took more than a fiftieth of the
cores away meanwhile. Medians count. Peak memory is that of the process beyond its imports. Prints Markdown; nothing is
fetched, and what is written goes to a temporary directory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from maskloss.core.frozen.config import BaseConfig
from maskloss.core.loss import elementwise_error, unnormalised_loss
from maskloss.core.mask_weights import MaskLossSettings, transform_weights

from .contest import argument_parser, contended, contest
from .step_contenders import MASKS, Material, Run, Text, frozen, native, ours
from .turns import Result

BOUNDS = (
    ("ours", "native", 0.50),
    ("ours", "native bypass", 1.0),
    ("ours", "frozen model", 1.15),
    ("ours with prior", "ours", 1.55),
    ("ours, checkpointing", "native, checkpointing", 0.60),
    ("ours, compiled", "ours", 0.90),
    ("ours, compiled, checkpointing", "ours, checkpointing", 0.90),
    ("ours, batch 4", "native, batch 4", 0.15),
    ("ours, batch 4", "frozen model, batch 4", 1.15),
)
# Contenders with these in their names stand beside each other alone.
APART = ("checkpointing", "batch 4")
COMPILED = BaseConfig(compile_blocks=True)
PRIOR = MaskLossSettings(gamma=0.7, min_weight=0.05, prior_weight=0.5)


def loss_seconds(material: Material, repeats: int = 50) -> float:
    """Median seconds of the mask transform, the error, and the weighted loss with its backward pass."""
    cache = material.cache
    entry = cache.entries[0]
    raw = cache.weights(entry)
    assert raw is not None
    difference = torch.randn(1, *entry.latent_shape, requires_grad=True)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        weights = transform_weights(raw[None], MASKS)
        loss = unnormalised_loss(elementwise_error(difference, MASKS), weights, MASKS.normalization, torch.ones(1))
        torch.autograd.grad(loss, difference)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


# By name: what runs in the contender's process.
CONTENDERS: dict[str, Callable[[Material], Run]] = {
    "native": native,
    "native bypass": lambda material: native(material, bypass=True),
    "ours": ours,
    "frozen model": frozen,
    "ours, compiled": lambda material: ours(material, base=COMPILED),
    "ours with prior": lambda material: ours(material, settings=PRIOR),
    "native, checkpointing": lambda material: native(material, checkpoint=True),
    "ours, checkpointing": lambda material: ours(material, checkpoint=True),
    "ours, compiled, checkpointing": lambda material: ours(material, checkpoint=True, base=COMPILED),
    "native, batch 4": lambda material: native(material, 4),
    "ours, batch 4": lambda material: ours(material, 4),
    "frozen model, batch 4": lambda material: frozen(material, 4),
}


def table(rows: Sequence[tuple[str, float, float]]) -> None:
    print("\n| ratio | measured | bound | |\n|---|---|---|---|")
    for name, value, bound in rows:
        print(f"| {name} | {value:.3f} | ≤ {bound:g} | {'kept' if value <= bound else '**missed**'} |")


def main() -> None:
    parser = argument_parser(__doc__, CONTENDERS)
    parser.add_argument("--rounds", type=int, default=21, help="timed steps of each contender at batch 1")
    parser.add_argument("--batch-rounds", type=int, default=5, help="timed steps of each contender at batch 4")
    parser.add_argument("--text-tokens", type=int, default=120, help="tokens of each caption, of 512")
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="this contender; several times for several")
    options = parser.parse_args()
    if contended(options, CONTENDERS):
        return
    results: dict[str, Result] = {}
    with contest("benchmarks.step", Text(options.text_tokens)) as steps:
        for kind, rounds in {
            "": options.rounds,
            "checkpointing": options.rounds,
            "batch 4": options.batch_rounds,
        }.items():
            names = [name for name in CONTENDERS if _kind(name) == kind and name in (options.only or CONTENDERS)]
            if names:
                results |= steps.measure(names, rounds)
        weighing = loss_seconds(steps.material)
    print("| contender | median of a step | peak memory |\n|---|---|---|")
    for name, result in results.items():
        print(f"| {name} | {result.seconds:.3f} s | {result.mebibytes:.0f} MiB |")
    print(f"| mask transform and weighted loss alone | {weighing:.5f} s | |")
    table(
        [
            *(
                (f"{a} / {b}", results[a].seconds / results[b].seconds, bound)
                for a, b, bound in BOUNDS
                if a in results and b in results
            ),
            *_others(results, weighing),
        ]
    )


def _kind(name: str) -> str:
    """Which contenders a contender stands beside."""
    return next((kind for kind in APART if kind in name), "")


def _others(results: Mapping[str, Result], weighing: float) -> Iterator[tuple[str, float, float]]:
    if "ours" in results:
        yield "mask transform and loss / step", weighing / results["ours"].seconds, 0.01
    if "ours" in results and "native" in results:
        yield "peak memory, ours / native", results["ours"].mebibytes / results["native"].mebibytes, 0.6


if __name__ == "__main__":
    main()
