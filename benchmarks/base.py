"""What a smaller base model costs: memory of its weights and time of a step, beside the same model in bf16.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.base [--rounds 9]

The random WAN of `benchmarks/step.py` (width 1024, 4 blocks) in bf16 on the CPU, its base as it is loaded and in fewer
bits, with and without checkpointing. Each contender runs in a process of its own and makes its steps in turn. Weights
are counted as they are kept for the passes: on a CPU the MODEL's own lie there as well, on a card they are in main
memory. Prints Markdown; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from maskloss.core.comfy.model.held_model import HeldModel, held_layers
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.train.config import TrainingDtype

from .contest import argument_parser, contended, contest
from .step_contenders import Material, Run, Text, ours

# Of int8; coarser weights have no bound of their own.
MOST_MEMORY, MOST_TIME = 0.55, 1.25
CPU = torch.device("cpu")
BASES = {each.value: BaseConfig(each) for each in BasePrecision}


def contender(base: BaseConfig, checkpoint: bool) -> Callable[[Material], Run]:
    return lambda material: ours(material, checkpoint=checkpoint, dtype=TrainingDtype.BF16, base=base)


CONTENDERS = {
    f"{name}{', checkpointing' if checkpoint else ''}": contender(base, checkpoint)
    for checkpoint in (False, True)
    for name, base in BASES.items()
}


def weights_mib(model: Any, base: BaseConfig) -> float:
    """Of all parameters of the network, those that are held counted as they are kept."""
    network = model.model.diffusion_model
    total = sum(parameter.nbytes for parameter in network.parameters())
    if base.holds_weights:
        total -= sum(each.layer.weight.nbytes for each in held_layers(model.model, base))
        with torch.inference_mode(False), HeldModel(model.model, CPU, base) as held:
            total += held.nbytes
    return total / 2**20


def main() -> None:
    parser = argument_parser(__doc__, CONTENDERS)
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each contender")
    options = parser.parse_args()
    if contended(options, CONTENDERS):
        return
    with contest("benchmarks.base", Text()) as steps:
        results = steps.measure(list(CONTENDERS), options.rounds)
        sizes = {name: weights_mib(steps.material.model(torch.bfloat16), base) for name, base in BASES.items()}
    plain = BasePrecision.AS_LOADED.value
    print("| base | weights | / bf16 | bound | step | / bf16 | bound |\n|---|---|---|---|---|---|---|")
    for name, result in results.items():
        base, _, rest = name.partition(",")
        memory = sizes[base] / sizes[plain]
        time = result.seconds / results[plain + (f",{rest}" if rest else "")].seconds
        bounds = (f"≤ {MOST_MEMORY}", f"≤ {MOST_TIME}") if base == BasePrecision.INT8.value else ("", "")
        print(
            f"| {name} | {sizes[base]:.0f} MiB | {memory:.3f} | {bounds[0]} | {result.seconds:.3f} s | {time:.3f} "
            f"| {bounds[1]} |"
        )


if __name__ == "__main__":
    main()
