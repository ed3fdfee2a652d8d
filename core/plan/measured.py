"""How long steps of training took on real devices: a table that anyone can extend, and what it says of other runs.

The table is TOML, one `[[run]]` for each run that was measured. `docs/measured.toml` comes with the pack, and beside it
`measured.own.toml` has what `maskloss bench` has measured here.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ..dataset.read_toml import read_toml
from ..errors import SettingError, UserError
from ..files import read_text, write_text
from ..warning import warn
from .duration import duration

_FOLDER = Path(__file__).resolve().parents[2] / "docs"
SHIPPED, OWN = _FOLDER / "measured.toml", _FOLDER / "measured.own.toml"
_OWN_HEADING = (
    "# What `maskloss bench` has measured on this computer. Entries here are as good as those of measured.toml.\n"
)
# Steps whose work differs by no more are the same.
_SAME_WORK = 0.02
_KINDS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}


@dataclass(frozen=True)
class Measurement:
    """One run that was measured: `seconds` of a step are the median of `steps`, `spread` their standard deviation.

    `model` is as `maskloss plan` names it, or ComfyUI's class; `training_dtype` is what it computed in, and not auto.
    `operations` are those of a step, in 10^12; `peak_gib` is the most memory that was taken (0: not known), and
    `planned_gib` what the plan had said. `versions` are those of torch, ComfyUI and this pack.
    """

    device: str
    device_gib: float
    model: str
    width: int
    height: int
    frames: int
    batch_size: int
    rank: int
    algorithm: str
    optimizer: str
    gradient_checkpointing: bool
    training_dtype: str
    weights: str
    base_precision: str
    blocks_in_main_memory: int
    compile_blocks: bool
    operations: float
    steps: int
    seconds: float
    spread: float
    peak_gib: float
    planned_gib: float
    versions: str
    date: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = _KINDS[str(field.type)]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise SettingError(f"{field.name} is {value!r}, and must be of the kind {field.type}.")
            if isinstance(value, (float, int)) and not (math.isfinite(value) and value >= 0):
                raise SettingError(f"{field.name} is {value!r}, and must not be negative.")
        if min(self.seconds, self.operations, self.steps) <= 0:
            raise SettingError("seconds, operations and steps must be more than 0.")

    def to_toml(self) -> str:
        """Its entry in the table."""
        lines = (f"{field.name} = {_value(getattr(self, field.name))}" for field in fields(self))
        return "[[run]]\n" + "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Work:
    """A step of which the time is asked for: of which model, in which precision, with how many operations."""

    model: str
    training_dtype: str
    base_precision: str
    blocks_in_main_memory: int
    compile_blocks: bool
    operations: int


@dataclass(frozen=True)
class Expected:
    """Seconds that a step takes on a device, and which measurement says so: of the same step, or `scaled` by the
    operations of another one."""

    seconds: float
    source: Measurement
    scaled: bool

    def words(self, steps: int) -> str:
        """Such as "1000 steps take about 25 min on NVIDIA H200 (1.50 s each, measured with torch 2.11.0)"."""
        taken = self.source
        how = f"measured with {taken.versions}"
        if self.scaled:
            how = f"scaled from {taken.model}, {taken.width}x{taken.height}, batch {taken.batch_size}"
        total = duration(self.seconds * steps)
        return f"{steps} steps take about {total} on {taken.device} ({self.seconds:.3g} s each, {how})."


def read_measurements(path: Path) -> list[Measurement]:
    """The table's entries. SettingError for one that is damaged, with its number; DatasetError where it is no TOML."""
    found: list[Measurement] = []
    runs: Any = read_toml(path).get("run", [])
    for number, entry in enumerate(runs if isinstance(runs, list) else [runs], 1):
        names = {field.name for field in fields(Measurement)}
        try:
            if not isinstance(entry, dict) or set(entry) != names:
                wrong = sorted(set(entry) ^ names) if isinstance(entry, dict) else "no table"
                raise SettingError(f"found {wrong}, which must be there, or must not.")
            found.append(Measurement(**entry))
        except SettingError as problem:
            raise SettingError(f"Run {number} of {path}: {problem} Mend the entry, or take it out.") from problem
    return found


def known_measurements(paths: Iterable[Path] | None = None) -> tuple[Measurement, ...]:
    """Those of all tables that are there (None: the shipped and the own one); a damaged one is left out with a
    warning."""
    found: list[Measurement] = []
    for path in (SHIPPED, OWN) if paths is None else paths:
        if path.is_file():
            try:
                found += read_measurements(path)
            except UserError as problem:
                warn(str(problem))
    return tuple(found)


def add_measurement(path: Path, measured: Measurement) -> None:
    """Append an entry to a table, which is made where there is none. DiskError where it cannot be written."""
    there = read_text(path) if path.is_file() else _OWN_HEADING
    write_text(path, f"{there.rstrip()}\n\n{measured.to_toml()}")


def device_name(device: torch.device) -> str:
    """As the table has it: a card's name, or the processor's and how many threads are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def expected(work: Work, measured: Iterable[Measurement]) -> tuple[Expected, ...]:
    """What a step takes on each device on which anything like it was measured, in the order of the table: with weights
    kept in the same way, computed in the same precision, and as much like it as there is."""
    nearest: dict[str, Measurement] = {}
    for each in measured:
        if _speed_settings(each) != _speed_settings(work):
            continue
        before = nearest.get(each.device)
        if before is None or _distance(each, work) <= _distance(before, work):
            nearest[each.device] = each
    return tuple(_expected(work, each) for each in nearest.values())


def _expected(work: Work, source: Measurement) -> Expected:
    ratio = work.operations / (source.operations * 1e12)
    if source.model == work.model and abs(ratio - 1) <= _SAME_WORK:
        return Expected(source.seconds, source, False)
    return Expected(source.seconds * ratio, source, True)


def _speed_settings(of: Work | Measurement) -> tuple[object, ...]:
    return of.training_dtype, of.base_precision, of.blocks_in_main_memory, of.compile_blocks


def _distance(source: Measurement, work: Work) -> tuple[bool, float]:
    return source.model != work.model, abs(math.log(work.operations / (source.operations * 1e12)))


def _value(value: object) -> str:
    if isinstance(value, float):
        return repr(value)
    # Strings, integers and truth values are written in TOML as they are in JSON.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
