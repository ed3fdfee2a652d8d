"""The trials of `benchmarks/torture.py` with what we read of our own: prompts, states, LoRAs, caches and more.

Every other time what lies there is damaged as a broken disk would do it, else it is whole and says something else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import torch
from maskloss.cli.run import REGISTRY
from maskloss.core.errors import UserError
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.state import load_state

from . import torture_files as files
from . import torture_steps as steps
from .torture_steps import Trial, expect, expect_tidy


def prompts(random: Random, root: Path) -> None:
    """`maskloss run` with one to three inputs set to anything that they allow, or that they do not."""
    base = _base()
    prompt = steps.training(1)
    before = steps.digest(base / "set")
    for _ in range(random.randint(1, 3)):
        id_ = random.choice([id_ for id_ in sorted(prompt) if _declared(prompt[id_]["class_type"])])
        declared = _declared(prompt[id_]["class_type"])
        name = random.choice(sorted(declared))
        prompt[id_]["inputs"][name] = _value(random, name, declared[name])
    try:
        steps.run(base, root / "out", prompt)
    finally:
        expect(steps.digest(base / "set") == before, "photographs were changed")
        expect_tidy(root)


def prompt_files(random: Random, root: Path) -> None:
    """A prompt file of which parts are gone, or something else."""
    text = json.dumps(steps.training(1))
    if random.random() < 0.7:
        text = files.damaged_json(random, text)
    else:
        text = files.damaged(random, text.encode()).decode("latin-1")
    steps.run(_base(), root / "out", text)


def states(random: Random, root: Path) -> None:
    """A training state that is damaged, or holds something else: training goes on, or says why not."""
    out = _made(root)
    victim = out / "lora.state"
    if random.random() < 0.5:
        victim.write_bytes(_bytes_of_another(random, victim))
    else:
        content = torch.load(victim, map_location="cpu", weights_only=True)
        key = random.choice(sorted(content))
        if key in ("identity", "course") and random.random() < 0.7:
            content[key] = files.damaged_json(random, content[key])
        elif random.random() < 0.3:
            del content[key]
        else:
            content[key] = files.any_json(random)
        torch.save(content, victim)
    _after(lambda: load_state(victim), lambda: steps.train(_base(), out, 3))
    steps.expect_whole(out)


def loras(random: Random, root: Path) -> None:
    """A LoRA file that is damaged: to start from, and beside the report."""
    out = _made(root)
    victim = random.choice(sorted(out.glob("*.safetensors")))
    _damage_tensors(random, victim)
    prompt = steps.training(1, initial_lora=["10", 0], on_existing="overwrite")
    prompt["10"] = steps.node("LoadLora", path=str(victim))
    report = steps.node("Report", dataset=["2", 0], cache=["4", 0], lora_path=str(victim), output_directory="report")
    shown = {id_: prompt[id_] for id_ in ("1", "2", "3", "4")} | {"5": report}
    _after(
        lambda: load_lora(victim),
        lambda: steps.run(_base(), out, prompt),
        lambda: steps.run(_base(), out, shown),
    )


def caches(random: Random, root: Path) -> None:
    """A file of a cache that is damaged: every command says so, and caching again mends it or says what to delete."""
    out = _made(root)
    victim = random.choice(sorted(path for path in (out / "cache").rglob("*") if path.is_file()))
    if victim.suffix == ".safetensors":
        _damage_tensors(random, victim)
    else:
        _damage_text(random, victim)
    _after(
        lambda: steps.all_of(out / "cache"),
        lambda: steps.command("cache", "inspect", "--deep", out / "cache"),
        lambda: steps.command("cache", "prune", out / "cache"),
        lambda: steps.command("cache", "export", out / "cache", root / "exported", "--format", "musubi"),
        lambda: steps.train(_base(), out, 3),
    )


def ledgers(random: Random, root: Path) -> None:
    """The ledger of a folder of masks or merged pictures, damaged: no picture there is lost or taken for ours."""
    out = _made(root)
    folder = random.choice(("built", "merged"))
    pictures_before = {path: path.read_bytes() for path in (out / folder).rglob("*.png")}
    ledger = random.choice(sorted(path for path in (out / folder).rglob(".*") if path.is_file()))
    _damage_text(random, ledger)
    try:
        if folder == "built":
            steps.build(_base(), out / folder)
        else:
            steps.merge(steps.dataset(_base()), out / folder)
    finally:
        now = {path: path.read_bytes() for path in (out / folder).rglob("*.png")}
        expect(now == pictures_before, "a picture that was there is gone or another")
        expect_tidy(out)


def logs(random: Random, root: Path) -> None:
    """The log of a run, damaged: it is written anew from the state."""
    out = _made(root)
    _damage_text(random, out / "lora.jsonl")
    steps.train(_base(), out, 3)
    lines = [json.loads(line) for line in (out / "lora.jsonl").read_text().splitlines()]
    expect([line["step"] for line in lines if "loss" in line] == [1, 2, 3], "steps are missing in the log")


def texts(random: Random, root: Path) -> None:
    """Captions and dataset files of any content."""
    steps.place(root, 2)
    config = (
        '[general]\nresolution = [64, 64]\ncaption_extension = ".txt"\nenable_bucket = true\n'
        '[[datasets]]\nimage_directory = "set"\nmask_directory = "masks"\nnum_repeats = 2\n'
    )
    path = root / "dataset.toml"
    path.write_text(config)
    victim = random.choice((root / "set/p00.txt", path))
    victim.write_bytes(files.damaged(random, victim.read_bytes()))
    prompt = steps.training(1)
    prompt["2"] = steps.node("LoadDatasetConfig", path="dataset.toml")
    kept = {id_: prompt[id_] for id_ in ("1", "2", "3", "4")}
    kept["5"] = steps.node("PreviewCache", cache=["4", 0])
    _after(lambda: steps.run(root, root / "out", kept), lambda: steps.dataset(root))


def _after(*tried: Callable[[], object]) -> None:
    """All of them are tried; the first refusal counts."""
    refused: UserError | None = None
    for one in tried:
        try:
            one()
        except UserError as error:
            refused = refused or error
    if refused is not None:
        raise refused


@once
def _base() -> Path:
    """A small dataset with everything that was made of it, once for a process."""
    root = Path(mkdtemp(prefix="maskloss-torture-base-"))
    steps.place(root, 3)
    out = root / "out"
    steps.train(root, out, 2)
    steps.build(root, out / "built")
    steps.merge(steps.dataset(root), out / "merged")
    return root


def _made(root: Path) -> Path:
    """A copy of what was made of the base."""
    return Path(shutil.copytree(_base() / "out", root / "out"))


def _bytes_of_another(random: Random, victim: Path) -> bytes:
    """The file damaged, or what another kind of file holds."""
    others = sorted(path for path in _base().rglob("*") if path.is_file())
    return random.choice(others).read_bytes() if random.random() < 0.2 else files.damaged(random, victim.read_bytes())


def _damage_tensors(random: Random, victim: Path) -> None:
    content = victim.read_bytes()
    structured = random.random() < 0.5
    victim.write_bytes(files.damaged_safetensors(random, content) if structured else _bytes_of_another(random, victim))


def _damage_text(random: Random, victim: Path) -> None:
    try:
        value = files.damaged_json(random, victim.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if value is None or random.random() < 0.5:
        victim.write_bytes(_bytes_of_another(random, victim))
    else:
        victim.write_text(value, encoding="utf-8")


@once
def _declared(kind: str) -> dict[str, Any]:
    """The inputs of a node that are typed in, by name."""
    given = REGISTRY[kind].INPUT_TYPES()
    inputs = {name: value for group in ("required", "optional") for name, value in given.get(group, {}).items()}
    return {name: value for name, value in inputs.items() if len(value) > 1 and "default" in value[1]}


# What would only make a trial slow or large.
_MOST = {
    "steps": 2, "num_repeats": 3, "resolution_width": 128, "resolution_height": 128, "rank": 32, "batch_size": 4,
    "gradient_accumulation_steps": 3, "min_bucket": 128, "max_bucket": 256, "blur": 99,
}  # fmt: skip


def _value(random: Random, name: str, declared: Any) -> Any:
    kind, options = declared[0], declared[1]
    if random.random() < 0.35:
        return files.any_json(random) if name not in _MOST else random.choice((None, "x", -1, 0, [], {}, 1.5, 2**70))
    if isinstance(kind, (list, tuple)) or "options" in options:
        return random.choice(list(kind if isinstance(kind, (list, tuple)) else options["options"]))
    if kind == "BOOLEAN":
        return random.random() < 0.5
    if kind in ("INT", "FLOAT"):
        low, high = options["min"], min(options["max"], _MOST.get(name, options["max"]))
        value = random.choice((low, high, random.uniform(low, high), random.uniform(low, min(high, low + 2))))
        return round(value) if kind == "INT" else value
    return random.choice(("", "x", "a/b", "../x", "/proc/none/x", "é名前", "x" * 300, "a\0b", "0", "1,2", "k=v", " "))


TRIALS: dict[str, Trial] = {
    "prompts": prompts,
    "prompt files": prompt_files,
    "states": states,
    "LoRA files": loras,
    "cache files": caches,
    "ledgers": ledgers,
    "logs": logs,
    "captions, dataset files": texts,
}
