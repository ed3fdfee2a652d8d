"""What a smaller base model costs: memory of its weights and time of a step, beside the same model in bf16.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.base [--rounds 9]

The random WAN of `benchmarks/step.py` (width 1024, 4 blocks) in bf16 on the CPU, its base as it is loaded and in fewer
bits, with and without checkpointing. Each contender runs in a process of its own and makes its steps in turn. Weights
are counted as they are kept for the passes: on a CPU the MODEL's own lie there as well, on a card they are in main
memory. Prints Markdown; nothing is fetched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from maskloss.core.comfy.model.held_model import HeldModel, held_layers
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.train.config import TrainingDtype

from .step_contenders import Material, Run, Text, ours, prepare
from .turns import Pause, measure, peak_kib

import comfy.utils  # isort: skip (found once the contenders have been imported)

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


def contend(name: str, directory: Path) -> None:
    """The life of a contender's process."""
    material = prepare(directory, Text())
    pause = Pause(peak_kib())

    def execute() -> None:
        pause.wait()
        with torch.inference_mode():
            CONTENDERS[name](material)(pause)

    with ThreadPoolExecutor(1) as nodes:
        nodes.submit(execute).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each contender")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if options.contender:
        contend(options.contender, options.directory)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        material = prepare(directory, Text())
        program = [sys.executable, "-m", "benchmarks.base", "--directory", str(directory), "--contender"]
        results = measure({name: [*program, name] for name in CONTENDERS}, options.rounds)
        sizes = {name: weights_mib(material.model(torch.bfloat16), base) for name, base in BASES.items()}
    plain = BasePrecision.AS_LOADED.value
    print("| base | weights | / bf16 | bound | step | / bf16 | bound |\n|---|---|---|---|---|---|---|")
    for name, result in results.items():
        base, _, rest = name.partition(",")
        memory = sizes[base] / sizes[plain]
        time = result.seconds / results[plain + (f",{rest}" if rest else "")].seconds
        print(
            f"| {name} | {sizes[base]:.0f} MiB | {memory:.3f} | ≤ {MOST_MEMORY} | {result.seconds:.3f} s | {time:.3f} "
            f"| ≤ {MOST_TIME} |"
        )


if __name__ == "__main__":
    main()
