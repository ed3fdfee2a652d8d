"""What `benchmarks/torture.py` has done with its inputs: the steps of a user, on small folders, and what must hold.

Every step is the real one, with the demo models in place of large ones. `Lost` is raised where something that was there
is gone, half-written, or not what an undisturbed run makes.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache as once
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from maskloss.cli.main import EXIT_OK, EXIT_USER, main
from maskloss.core.cache.entry_file import read_tensors
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import UserError
from maskloss.core.images import load_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.train.lora_file import load_lora
from PIL import Image

# Gets a `Random` and an empty folder. It returns where everything went well, and raises a UserError where the input was
# refused, `Lost` where something that should hold does not; every other exception is a crash.
Trial = Callable[[Random, Path], None]
SIDE = 64


class Lost(Exception):
    """Something that was there is gone, or what was made is not what it should be."""


class Crashed(Exception):
    """The command ended as by an error of ours; the text is what it said last."""


class Red:
    """Everything whose red is above a half is face; `pause` s a picture."""

    name = identity = "red"
    approximate = True

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        time.sleep(self._pause)
        return PartMap((rgb_HWC[..., 0] > 127).astype(np.uint8), SCHEMES["maskloss_4"])


class Encoder(DemoLatentEncoder):
    """The demo autoencoder; `pause` s a picture."""

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        time.sleep(self._pause)
        return super().encode(rgb_BTHWC)


def place(root: Path, count: int, seed: int = 0) -> None:
    """`root`/set with `count` photographs and captions, and `root`/masks with their masks."""
    for folder in ("set", "masks"):
        (root / folder).mkdir(parents=True)
    noise = np.random.default_rng(seed)
    for number in range(count):
        rgb_HWC = noise.integers(0, 256, (40, 40 + 4 * (number % 3), 3), dtype=np.uint8)
        Image.fromarray(rgb_HWC).save(root / f"set/p{number:02}.png")
        Image.fromarray(rgb_HWC[..., 0]).save(root / f"masks/p{number:02}.png")
        (root / f"set/p{number:02}.txt").write_text(f"ohwx {number % 5}")


def dataset(root: Path, masks: bool = True, **settings: Any) -> Dataset:
    """What Load Dataset finds there."""
    load = LoadSettings(resolution=(SIDE, SIDE), **settings)
    return scan_dataset(DatasetConfig(root / "set", root / "masks" if masks else None, settings=load))[0]


def cache(found: Dataset, directory: Path, encoder: DemoLatentEncoder | None = None) -> LatentCache:
    """Cache Latents and Cache Text."""
    made, _ = cache_latents(found, encoder or Encoder(), directory)
    return cache_text(made, DemoTextEncoder())[0]


def merge(found: Dataset, directory: Path) -> dict[str, Any]:
    """Merge Alpha; its report."""
    return dict(merge_dataset_alpha(found, directory)[1])


def build(root: Path, directory: Path, segmenter: Red | None = None) -> dict[str, Any]:
    """Build Masks; its report."""
    return dict(build_masks(dataset(root, masks=False), segmenter or Red(), TierWeights(), directory)[1])


def command(*arguments: str | Path) -> str:
    """The `maskloss` command in this process; what it printed. UserError where it ends with 2, Crashed with 1."""
    out, said = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # of argparse
            code = int(ended.code or 0)
    last = (said.getvalue().strip().splitlines() or [""])[-1]
    if code == EXIT_USER:
        raise UserError(last)
    if code != EXIT_OK:
        raise Crashed("\n".join(said.getvalue().strip().splitlines()[-6:]))
    return out.getvalue()


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"MaskLoss{kind}", "inputs": inputs}


def training(steps: int = 2, **inputs: Any) -> dict[str, Any]:
    """A prompt from the folder `set` to a LoRA, on the demo models."""
    return {
        "1": node("DemoModels", seed=0),
        "2": node(
            "LoadDataset", directory="set", mask_directory="masks", resolution_width=SIDE, resolution_height=SIDE
        ),
        "3": node("CacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="cache"),
        "4": node("CacheText", cache=["3", 0], clip=["1", 2]),
        "5": node("Settings", gamma=0.7, min_weight=0.05),
        "6": node("LoraConfig", rank=2, alpha=2.0),
        "7": node("Optimizer", learning_rate=0.001),
        "8": node(
            "TrainLora", model=["1", 0], cache=["4", 0], mask_loss=["5", 0], lora_config=["6", 0],
            optimizer=["7", 0], steps=steps, gradient_checkpointing=False, save_every=1, output_name="lora", **inputs,
        ),
        "9": node("SaveLora", lora=["8", 0], filename_prefix="saved"),
    }  # fmt: skip


def train(root: Path, output: Path, steps: int = 2, **inputs: Any) -> None:
    """`maskloss run` of `training`."""
    run(root, output, training(steps, **inputs))


def run(root: Path, output: Path, prompt: Any) -> None:
    """`maskloss run` of any prompt."""
    path = _prompt_file(prompt if isinstance(prompt, str) else json.dumps(prompt))
    command("run", path, "--input", root, "--output", output)


@once
def _prompt_file(text: str) -> Path:
    """A file of it, apart from the folders that may be full or closed."""
    path = Path(mkdtemp(prefix="maskloss-torture-prompt-")) / "prompt.json"
    path.write_text(text, encoding="utf-8")
    return path


def digest(folder: Path) -> str:
    """Of every file below `folder`, with its name."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(repr(path.relative_to(folder)).encode("utf-8", "surrogateescape"))
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def expect(holds: bool, text: str) -> None:
    """Lost with `text` where that is not so."""
    if not holds:
        raise Lost(text)


def expect_tidy(*folders: Path) -> None:
    """Nothing half-written lies there."""
    left = [path.name for folder in folders for path in folder.rglob(".*.part*")]
    expect(not left, f"half-written files stay: {left[:3]}")


def expect_whole(directory: Path) -> None:
    """Whatever bears its final name can be read."""
    for path in directory.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            if path.suffix == ".png":
                load_image(path)
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".safetensors":
                read_tensors(path)
            elif path.suffix == ".state":
                torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise Lost(f"{path.name} is not whole: {error}") from error


def expect_same_cache(one: LatentCache, other: LatentCache) -> None:
    """Entry by entry, value by value."""
    expect([entry.name for entry in one.entries] == [entry.name for entry in other.entries], "other entries")
    for mine, its in zip(one.entries, other.entries, strict=True):
        expect(torch.equal(one.latent(mine), other.latent(its)), f"another latent of {mine.name}")
        weights = one.weights(mine), other.weights(its)
        same = weights[0] is weights[1] if None in weights else torch.equal(*weights)
        expect(same, f"other weights of {mine.name}")
        expect(mine.caption == its.caption, f"another caption of {mine.name}")


def expect_same_lora(one: Path, other: Path) -> None:
    """Tensor by tensor."""
    mine, its = load_lora(one), load_lora(other)
    expect(sorted(mine) == sorted(its), "other keys")
    expect(all(torch.equal(mine[key], its[key]) for key in mine), "other values")


def all_of(opened: Path) -> LatentCache:
    """An open cache of which everything has been read."""
    found = open_cache(opened)
    for entry in found.entries:
        found.latent(entry)
        found.weights(entry)
        found.text(entry)
    return found
