"""How the index of a cache and the ledger of a folder of masks bear many entries.

    python -m benchmarks.scale [--entries 100000 1000000] [--most-gb 6]

Synthetic entries like those of the demo: names of 24 characters in folders of a thousand, a photograph and a mask each.
Every measurement runs in a process of its own, whose memory is bounded; times are its processor's. Index: written,
opened, all files of its entries listed. Ledger: opened, names looked up, one name noted and closed, which writes it
anew; then two processes that note names at once, and whether the names are in it afterwards (of many, a million).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.index import INDEX_FILE, CacheIndex, read_index, write_index
from maskloss.core.cache.index_columns import EntryTable
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.fingerprints import fingerprint_of
from maskloss.core.masks.ledger import open_ledger

STEP = "BuildMasks"
NOTED = 1000  # names that each of two writers notes
LOOKED_UP = 10_000
MOST_CHECKED = 1_000_000
DETAILS = {
    "coverage": 0.213871, "tiers": {"face": 0.04221, "hair": 0.0301, "body": 0.2719, "background": 0.6558},
    "faceless": 0, "approximate": True, "photograph": "0" * 64, "hair_values": [80],
    "tier_values": [0, 80, 128, 255], "part_values": {"face": [255], "hair": [80], "background": [0]},
}  # fmt: skip


def name_of(number: int) -> str:
    return f"{number // 1000:06d}/photograph-{number:06d}"


def entries(count: int) -> Iterator[CacheEntry]:
    for number in range(count):
        name, digest = name_of(number), fingerprint_of(number)
        image = Source("image", Path(f"/data/photographs/{name}.jpg"), 2_500_000 + number, 10**18 + number, digest)
        mask = Source("mask", Path(f"/data/masks/{name}.png"), 40_000 + number, 10**18 + number, digest)
        yield CacheEntry(
            name, f"{name}_1024x0768_flux.safetensors", MaskOrigin.FILE, 0.1 + number % 1000 / 2000, 1, (2048, 1536),
            (1152, 864), (16, 1, 108, 144), f"a photograph of ohwx, {number}", digest, digest, 500_000, (image, mask),
        )  # fmt: skip


def write_cache(folder: Path, count: int) -> int:
    write_index(folder, CacheIndex("flux", "encoder", EntryTable.from_entries(entries(count))))
    return (folder / INDEX_FILE).stat().st_size


def open_cache(folder: Path, count: int) -> int:
    """Open it and list the files of its entries, as a training run does."""
    table = read_index(folder).entries
    assert isinstance(table, EntryTable)
    opened = time.process_time()
    assert sum(size for _, size in table.files()) == count * 500_000
    assert table[count // 2].name == name_of(count // 2)
    print(f"| of which without opening it | {count:,} | {time.process_time() - opened:.1f} | | |")
    return (folder / INDEX_FILE).stat().st_size


def write_ledger(folder: Path, count: int) -> int:
    """The bytes that the ledger's own function writes."""
    path = folder / MASK_LEDGER
    record = json.dumps({"fingerprint": "DIGEST", "sha256": "DIGEST", "details": DETAILS})
    with path.open("w", encoding="utf-8") as file:
        file.write('{"step": "BuildMasks", "items": {')
        for number in range(count):
            stored = record.replace("DIGEST", fingerprint_of(number))
            file.write(f"{',' if number else ''}\n{json.dumps(name_of(number))}: {stored}")
        file.write("\n}}\n")
    return path.stat().st_size


def read_ledger(folder: Path, count: int) -> int:
    with open_ledger(folder, STEP) as ledger:
        assert ledger.record(name_of(count - 1)) is not None
    return (folder / MASK_LEDGER).stat().st_size


def look_up(folder: Path, count: int) -> int:
    """Names here and there, and then one after the other, as a step goes through a folder."""
    with open_ledger(folder, STEP) as ledger:
        for number in range(LOOKED_UP):
            assert ledger.record(name_of(number * 7919 % count)) is not None
        between = time.process_time()
        for number in range(LOOKED_UP):
            assert ledger.record(name_of(count // 2 + number)) is not None
    print(f"| of which one after the other | {count:,} | {time.process_time() - between:.2f} | | |")
    return (folder / MASK_LEDGER).stat().st_size


def note_one(folder: Path, count: int) -> int:
    note(folder, f"new-{count}", 1)
    return (folder / MASK_LEDGER).stat().st_size


def note(folder: Path, start: str, count: int) -> None:
    with open_ledger(folder, STEP) as ledger:
        for number in range(count):
            ledger.begin(f"{start}-{number}", "f" * 64)
            ledger.finish(f"{start}-{number}", "f" * 64, None, DETAILS)


def two_writers(folder: Path, count: int) -> int:
    writers = [_CONTEXT.Process(target=note, args=(folder, f"writer{number}", NOTED)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with open_ledger(folder, STEP) as ledger:
        lost = sum(ledger.record(f"writer{number}-{each}") is None for number in (1, 2) for each in range(NOTED)) + sum(
            ledger.record(name_of(each)) is None for each in range(0, count, max(1, count // MOST_CHECKED))
        )
    print(f"| two writers: names lost | {count:,} | | | {lost} |")
    return (folder / MASK_LEDGER).stat().st_size


_CONTEXT = multiprocessing.get_context("spawn")
WORK: tuple[tuple[str, Callable[[Path, int], int]], ...] = (
    ("index: written", write_cache), ("index: opened, its files listed", open_cache), ("ledger: opened", read_ledger),
    (f"ledger: 2 x {LOOKED_UP:,} names looked up", look_up), ("ledger: one name more", note_one),
    ("ledger: two writers at once, then read", two_writers),
)  # fmt: skip


def measure(title: str, work: Callable[[Path, int], int], folder: Path, count: int, most_bytes: int) -> None:
    """One row of the table, from inside a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    begun = time.process_time()
    size = work(folder, count)
    seconds = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"| {title} | {count:,} | {seconds:.1f} | {memory / 1e9:.2f} | {size / 1e9:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--most-gb", type=float, default=6.0, help="memory that a measurement may take")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are written (default: temporary)")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| what | entries | seconds of a core | peak memory, GB | file, GB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for count in options.entries:
            folder = Path(name, str(count))
            folder.mkdir()
            write_ledger(folder, count)
            for title, work in WORK:
                arguments = (title, work, folder, count, int(options.most_gb * 1e9))
                process = _CONTEXT.Process(target=measure, args=arguments)
                process.start()
                process.join()
                if process.exitcode:
                    print(f"| {title} | {count:,} | fails within {options.most_gb} GB | | |", flush=True)


if __name__ == "__main__":
    main()
