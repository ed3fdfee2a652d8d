"""What a cache costs: opening it, reading it, its bytes, its memory, and what caching adds to the bare VAE.

    python benchmarks/cache.py [--entries 100000] [--pictures 16] [--side 512]

Without ComfyUI everything but the VAE's throughput; with COMFYUI_PATH and ComfyUI's own interpreter that as well, on an
SD VAE with random weights, on the device that ComfyUI chooses (--cpu: the CPU). The bare VAE and the cache encode the
same photographs in turn, so that a machine which is busy with other things is equally slow for both; medians count.
Prints Markdown; nothing is fetched, and what is written goes to a temporary directory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.entry_file import MaskStorage, entry_file_name, read_header, write_entry
from maskloss.core.cache.index import CacheIndex, write_index
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, LoadSettings, MaskOrigin
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.masks.crop_dataset import CropRules, crop_dataset

READS = 2000
ROUNDS = 3
MEMORY_PICTURES = 500
SD_SCRIPTS_BYTES = 1024 * 1024 * 4
SIZE = (1024, 1024)
ROLES = (("image", "set", ".jpg"), ("mask", "masks", ".png"), ("caption", "set", ".txt"))


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def entries(count: int, file_bytes: int) -> Iterator[CacheEntry]:
    for number in range(count):
        name = f"p{number:06}"
        sources = tuple(
            Source(role, Path(f"/data/{folder}/{name}{suffix}"), number, 10**18 + number, digest(number, role))
            for role, folder, suffix in (
                ("image", "set", ".jpg"),
                ("mask", "masks", ".png"),
                ("caption", "set", ".txt"),
            )
        )
        yield CacheEntry(
            name, entry_file_name(name, SIZE, "wan"), MaskOrigin.FILE, number / count, 1, SIZE, SIZE, (16, 1, 128, 128),
            f"a photograph of ohwx person number {number}, smiling, in a garden", digest(number, 1), digest(number, 2),
            file_bytes, sources,
        )  # fmt: skip


def many(directory: Path, count: int) -> list[tuple[str, str]]:
    """A cache of so many entries, each with a file of its own (hard links of a few: only opening is measured)."""
    latent, weights = torch.randn(16, 1, 128, 128), torch.rand(1, 1, 128, 128)
    originals = []
    for number in range(0, count, 30_000):  # a file takes no more links than that on some disks
        originals.append(directory / f"original{number}.bin")
        write_entry(originals[-1], latent, weights, MaskStorage.FLOAT16, {})
    size = originals[0].stat().st_size
    for number in range(count):
        os.link(originals[number // 30_000], directory / entry_file_name(f"p{number:06}", SIZE, "wan"))
    made = list(entries(count, size))
    started = time.perf_counter()
    write_index(directory, CacheIndex("wan", "benchmark", made))
    rows = [("index written", f"{time.perf_counter() - started:.2f} s")]
    rows.append(("index", f"{(directory / 'maskloss_index.json').stat().st_size / count:.0f} bytes an entry"))
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        cache = open_cache(directory)
        seconds.append(time.perf_counter() - started)
    rows.append(("opened", f"{statistics.median(seconds):.2f} s (best {min(seconds):.2f} s)"))
    chosen = random.Random(0).sample(range(count), min(READS, count))
    started = time.perf_counter()
    for row in chosen:
        entry = cache.entries[row]
        read_header(directory / entry.file)
    rows.append(("entries looked up, headers read", f"{len(chosen) / (time.perf_counter() - started):.0f} a second"))
    return rows


def reading(directory: Path) -> list[tuple[str, str]]:
    """Latents of 1024² with their weights, read in random order; and the bytes of their masks."""
    dataset = photographs(directory, 8, 1024)
    rows: list[tuple[str, str]] = []
    for storage in (MaskStorage.FLOAT16, MaskStorage.UINT8):
        cache, _ = cache_latents(dataset, DemoLatentEncoder(), directory / storage.value, CacheSettings(storage))
        height, width = cache.entries[0].latent_shape[2:]
        size = height * width * (2 if storage is MaskStorage.FLOAT16 else 1)
        less = f"{SD_SCRIPTS_BYTES / size:.0f} times less than sd-scripts' 4 MiB"
        rows.append((f"mask of 1024², {storage.value}", f"{size / 1024:.0f} KiB, {less}"))
    started, read, count = time.perf_counter(), 0, 0
    order = random.Random(0)
    while time.perf_counter() - started < 3:
        entry = order.choice(cache.entries)
        latent, weights = cache.latent(entry), cache.weights(entry)
        read += latent.nbytes + (0 if weights is None else weights.nbytes)
        count += 1
    seconds = time.perf_counter() - started
    rows.append(
        ("latents of 1024² with weights read", f"{count / seconds:.0f} a second, {read / seconds / 1e6:.0f} MB/s")
    )
    return rows


def photographs(directory: Path, count: int, side: int, masks: bool = True, tiers: bool = False) -> Dataset:
    """JPEG photographs, a third larger than they are trained at, with PNG masks; `tiers`: of a person each."""
    source = directory / f"photographs{count}x{side}{'_tiers' if tiers else ''}"
    size = side * 4 // 3
    draw = np.random.default_rng(0)
    for number in range(count):
        small_HWC = draw.integers(0, 256, (size // 32, size // 32, 3), dtype=np.uint8)
        rgb_HWC = np.kron(small_HWC, np.ones((32, 32, 1), np.uint8))
        save_image(source / f"set/p{number:05}.jpg", rgb_HWC)
        if masks:
            mask_HW = _person(len(rgb_HWC)) if tiers else np.ascontiguousarray(rgb_HWC[..., 0])
            save_image(source / f"masks/p{number:05}.png", mask_HW)
    settings = LoadSettings(resolution=(side, side))
    return scan_dataset(DatasetConfig(source / "set", source / "masks" if masks else None, settings=settings))[0]


def _person(size: int) -> np.ndarray:
    """The usual tiers: a head of a quarter of the picture's height, and a body below."""
    mask_HW = np.zeros((size, size), np.uint8)
    unit = size // 8
    mask_HW[3 * unit :, 2 * unit : 6 * unit] = 128
    mask_HW[unit : 3 * unit, 3 * unit : 5 * unit] = 80
    mask_HW[3 * unit // 2 : 3 * unit, 7 * unit // 2 : 9 * unit // 2] = 255
    return mask_HW


def memory(directory: Path) -> list[tuple[str, str]]:
    """Peak memory of caching N and 4 N pictures, each in a process of its own."""
    rows: list[tuple[str, str]] = []
    peaks: list[float] = []
    for count in (MEMORY_PICTURES, 4 * MEMORY_PICTURES):
        arguments = [sys.executable, __file__, "--memory-of", str(count), "--directory", str(directory)]
        answer = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        peaks.append(float(answer.split()[-1]))
        rows.append((f"peak memory, {count} pictures", f"{peaks[-1]:.0f} MB"))
    each_kb = (peaks[1] - peaks[0]) * 1e3 / (3 * MEMORY_PICTURES)
    rows.append(("more for each further picture", f"{each_kb:.1f} kB"))
    return rows


def memory_of(directory: Path, count: int) -> None:
    dataset = photographs(directory, count, 96)
    cache_latents(dataset, DemoLatentEncoder(), directory / f"cache{count}")
    # Not getrusage: a process begins with the peak of the one that started it.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1e3)


def throughput(directory: Path, pictures: int, side: int, cpu: bool) -> list[tuple[str, str]]:
    """Caching against nothing but the VAE, in turn."""
    path = os.environ.get("COMFYUI_PATH")
    if not path:
        return [("caching / bare VAE", "not measured (COMFYUI_PATH is not set)")]
    sys.path.insert(0, path)
    import comfy.cli_args

    comfy.cli_args.args.cpu = cpu or not torch.cuda.is_available()
    from maskloss.core.comfy.encoders import ComfyLatentEncoder

    encoder = ComfyLatentEncoder(_sd_vae())
    dataset = photographs(directory, pictures, side)
    rgb_BTHWC = torch.rand(1, 1, side, side, 3)
    encoder.encode(rgb_BTHWC)
    with_people = photographs(directory, pictures, side, tiers=True)
    bare: list[float] = []
    cached: list[float] = []
    cropped: list[float] = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(pictures):
            encoder.encode(rgb_BTHWC)
        bare.append(pictures / (time.perf_counter() - started))
        target = directory / f"throughput{number}"
        started = time.perf_counter()
        cache_latents(dataset, encoder, target)
        cached.append(pictures / (time.perf_counter() - started))
        shutil.rmtree(target)
        started = time.perf_counter()
        cache, _ = cache_latents(crop_dataset(with_people, CropRules(1, 1, 1))[0], encoder, target)
        pixels = sum(entry.bucket[0] * entry.bucket[1] for entry in cache.entries)
        cropped.append(pixels / side**2 / (time.perf_counter() - started))
        shutil.rmtree(target)
    one, other = statistics.median(bare), statistics.median(cached)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(cached, bare, strict=True))
    crops = statistics.median(mine / theirs for mine, theirs in zip(cropped, bare, strict=True))
    return [
        (f"bare SD VAE, {side}², one at a time", f"{one:.2f} pictures a second"),
        ("caching with it, masks and files included", f"{other:.2f} pictures a second"),
        ("caching / bare VAE", f"{ratio:.2f}"),
        ("the same with a bust and a face crop of each, found in the masks; per megapixel", f"{crops:.2f}"),
    ]


def _sd_vae() -> Any:
    """The autoencoder of SD 1.5 with random weights."""
    import comfy.ldm.models.autoencoder
    import comfy.sd

    config = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
        "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    with torch.inference_mode():
        network = comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=config, embed_dim=4)
        generator = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
            else:
                parameter.fill_(0.0)
        for module in network.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.weight.fill_(1.0)
        return comfy.sd.VAE(sd=network.state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--cpu", action="store_true", help="the VAE on the CPU although there is a GPU")
    parser.add_argument("--only-vae", action="store_true", help="no more than the VAE's throughput")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of is not None:
        memory_of(options.directory, options.memory_of)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        rows: list[tuple[str, str]] = []
        if not options.only_vae:
            (directory / "many").mkdir()
            rows += many(directory / "many", options.entries)
            rows += reading(directory / "reading")
            rows += memory(directory / "memory")
        rows += throughput(directory / "throughput", options.pictures, options.side, options.cpu)
    print(f"| {'cache of ' + format(options.entries, ',') + ' entries'} | |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
