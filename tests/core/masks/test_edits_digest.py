"""What people changed is told from what a step wrote."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.masks.edits_digest import edits_digest
from maskloss.core.masks.ledger import open_ledger


def written(directory: Path, name: str, fingerprint: str) -> Path:
    target = directory / f"{name}.png"
    with open_ledger(directory, "Step") as ledger:
        ledger.begin(name, fingerprint)
        target.write_text("ours")
        ledger.finish(name, fingerprint, target, {"coverage": 0.5})
    return target


def test_edits_are_seen_and_what_the_step_writes_is_not(tmp_path: Path, next_tick: Callable[[], None]) -> None:
    untouched = edits_digest(tmp_path)
    assert edits_digest(tmp_path / "none") == untouched
    sub = tmp_path / "masks"
    target = written(sub, "a", "one")
    written(sub, "b", "one")
    assert edits_digest(tmp_path) == edits_digest(sub) == untouched

    next_tick()
    target.write_text("edited")
    edited = edits_digest(tmp_path)
    assert edited != untouched
    assert edits_digest(tmp_path) == edited, "looking again gives the same"
    before = target.stat()
    target.write_text("EDITED")
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert edits_digest(tmp_path) != edited

    written(sub, "a", "two")
    assert edits_digest(tmp_path) == untouched, "ours again"
    target.unlink()
    assert edits_digest(tmp_path) != untouched, "a deleted one is to be made again"
    written(sub, "a", "two")
    assert edits_digest(tmp_path) == untouched
    (sub / MASK_LEDGER).write_text("{")
    assert edits_digest(tmp_path) == untouched, "the run says what is wrong"
    (sub / MASK_LEDGER).unlink()
    written(sub, "a", "two")
    next_tick()
    old = tmp_path / "old.png"
    old.write_text("older than the ledger")
    os.utime(old, ns=(0, 0))
    shutil.copy2(old, sub / "c.png")
    old.unlink()
    assert edits_digest(sub) != untouched
