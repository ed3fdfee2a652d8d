"""What is planned against what a process grows by, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import maskloss
import pytest
from tiny_comfy import tiny_models  # noqa: F401 - skips where there is no ComfyUI

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it takes")]


@pytest.mark.parametrize("name", ["wan", "sd1.5"])
def test_a_process_grows_by_what_was_planned(name: str):
    words = [sys.executable, "-m", "benchmarks.plan_process", name, "--small", "--no-checkpointing"]
    # The C library gives back what it does not need, so that it is not taken for what is needed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    root = Path(maskloss.__file__).parent
    told = subprocess.run(words, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
    found = json.loads(told.stdout.decode().splitlines()[-1])
    assert found["planned"] > 80 * 2**20
    assert found["planned"] == pytest.approx(found["counted"], rel=0.03)
    assert found["planned"] == pytest.approx(found["grown"], rel=0.15)
