#!/usr/bin/env bash
# One would guess: a task that Ray runs on two of a machine's cores gets two cores, as any process does.
# What happens (Ray 2.60.0): workers are started with a niceness of 15 above the program's own, and everything they start
# inherits it. On a machine that does anything else they get little more than what is left. Nothing says so; it is an
# environment variable of the head (RAY_worker_niceness), unknown to ray.init.
# Why it matters here: caching photographs beside a training run or a busy ComfyUI seems to hang, and a benchmark of Ray
# against plain processes on a machine that is not idle measures niceness.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check ray==2.60.0
for niceness in "" 0; do
    RAY_worker_niceness="$niceness" "$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

given = os.environ.pop("RAY_worker_niceness")
if given:
    os.environ["RAY_worker_niceness"] = given
import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)


@ray.remote
class Worker:
    def niceness(self):
        return os.nice(0)


own, theirs = os.nice(0), ray.get(Worker.remote().niceness.remote())
print("ray", ray.__version__, "RAY_worker_niceness", given or "not set", "- program", own, "worker", theirs)
sys.exit(0 if theirs == (own if given else min(19, own + 15)) else 1)
PYTHON
done
