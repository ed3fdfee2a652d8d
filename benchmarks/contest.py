"""The command line of a benchmark whose contenders train in turn, each in a process of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from .step_contenders import Material, Run, Text, prepare
from .turns import Pause, Result, measure, peak_kib

import comfy.utils  # isort: skip (found once the contenders have been imported)

Contenders = Mapping[str, Callable[[Material], Run]]


class Contest:
    """The benchmark `module`, whose contenders train what `material` holds."""

    def __init__(self, module: str, directory: Path, material: Material) -> None:
        self._module, self._directory, self.material = module, directory, material

    def measure(self, names: Sequence[str], rounds: int) -> dict[str, Result]:
        """By name: what these contenders took."""
        program = [sys.executable, "-m", self._module, "--directory", str(self._directory)]
        return measure({name: [*program, "--contender", name] for name in names}, rounds)


def argument_parser(documentation: str | None, contenders: Contenders) -> argparse.ArgumentParser:
    """One that knows what a contender's process is started with."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contender", choices=contenders, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    return parser


def contended(options: argparse.Namespace, contenders: Contenders) -> bool:
    """Whether this is a contender's process, which has then ended its life."""
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if not options.contender:
        return False
    material = prepare(options.directory, Text())  # its captions are cached already, at whatever length
    pause = Pause(peak_kib())

    def execute() -> None:
        pause.wait()
        with torch.inference_mode():
            contenders[options.contender](material)(pause)

    # ComfyUI executes its nodes in a thread, where memory is given out otherwise than in a program's first one.
    with ThreadPoolExecutor(1) as nodes:
        nodes.submit(execute).result()
    return True


@contextmanager
def contest(module: str, text: Text) -> Generator[Contest]:
    """In a temporary directory, with captions of that text."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        yield Contest(module, directory, prepare(directory, text))
