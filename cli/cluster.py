"""`maskloss cluster`: the steps of a prompt up to its cache, by the processes of a Ray cluster."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ..core.comfy.registry import comfyui_nodes
from ..core.errors import ItemsFailedError, PathError, PromptError, ServerError, SettingError
from ..core.files import process_tag, write_text
from ..core.host import LocalHost
from .cluster_models import ModelPlaces
from .prompt import PromptNode, Registry, override, read_prompt
from .run import REGISTRY, tell_results
from .runner import Outputs, run_prompt
from .shards import before_and_behind

# What is spread over a cluster; every other node runs once, where the work is given out.
SPREAD_NODES = frozenset((
    "MaskLossDatasetBuildMasks", "MaskLossDatasetKeepPerson", "MaskLossKeepPeople", "MaskLossDatasetMergeAlpha",
    "MaskLossCacheLatents", "MaskLossCacheText",
))  # fmt: skip


def run_on_cluster(
    file: Path,
    settings: Sequence[str],
    input_directory: Path | None,
    output_directory: Path | None,
    base_directory: Path | None = None,
    address: str = "local",
    workers: int = 0,
    gpus: float = 0.0,
) -> None:
    """Run the prompt in `file` up to its cache, the work on items by `workers` processes of the Ray at `address`.

    What stands behind the cache is left out. Items that cannot be worked on are left out, and the ItemsFailedError at
    the end names them.
    """
    if importlib.util.find_spec("ray") is None:
        raise ServerError(
            "Ray is not installed, which gives out the work; run `pip install maskloss[ray]`, or run `maskloss run "
            "FILE --shard 1/2` and so on, one shard on each machine."
        )
    if workers < 0 or gpus < 0:
        raise SettingError(f"--workers is {workers} and --gpus is {gpus}; give 0 or more.")
    if input_directory is not None and not input_directory.is_dir():
        raise PathError(f"--input {input_directory} is not a directory; give the folder with your photographs")
    prompt = read_prompt(file)
    foreign = any(node.class_type not in REGISTRY for node in prompt.values())
    registry: Registry = {**comfyui_nodes(base_directory), **REGISTRY} if foreign else REGISTRY
    override(prompt, settings, registry)
    kept, behind = before_and_behind(prompt, registry)
    if not any(node.class_type in SPREAD_NODES for node in kept.values()):
        raise PromptError(f"the prompt has none of {', '.join(sorted(SPREAD_NODES))}, whose work a cluster divides")

    from .cluster_pool import PoolOptions, WorkerPool, tell_on_stderr
    from .cluster_worker import Job, versions_here

    folders = LocalHost(input_directory, output_directory).folders()
    mark = folders.output / f".maskloss-cluster-{process_tag()}"
    job = Job(kept, folders.input, folders.output, mark, versions_here(), foreign, base_directory)
    watcher = _Watcher(registry)
    write_text(mark, "Every process of a cluster has to see this file.\n")
    pool = WorkerPool(PoolOptions(address, workers, gpus), job, watcher.models, tell_on_stderr)
    try:
        results = run_prompt(kept, registry, LocalHost(folders.input, folders.output, spread=pool), watcher=watcher)
    finally:
        pool.close()
        mark.unlink(missing_ok=True)
    tell_results(results, kept)
    if pool.memory_bytes:
        print(f"main memory of a worker: at most {pool.memory_bytes / 2**20:.0f} MiB")
    _tell_behind(behind)
    if watcher.reasons:
        raise ItemsFailedError(watcher.reasons)


def _tell_behind(behind: Sequence[PromptNode]) -> None:
    if behind:
        print(
            f"not run on a cluster: {', '.join(node.label for node in behind)}; run this file with `maskloss run` or "
            "`maskloss train`, which find the cache made"
        )


class _Watcher:
    """Keeps what the nodes' models are, and which items failed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.models = ModelPlaces()
        self.reasons: dict[str, str] = {}

    def finished(self, node: PromptNode, outputs: Outputs) -> None:
        self.models.note(node.id, self._registry[node.class_type].RETURN_TYPES, outputs)  # type: ignore[attr-defined]

    def failed(self, node: PromptNode, error: ItemsFailedError) -> None:
        self.reasons.update({f"{name} ({node.label})": reason for name, reason in error.reasons.items()})
