"""Which program's own loader makes of a LoRA file what was trained: architecture × algorithm × key format × loader.

Each of ComfyUI's tiny networks has a twin in diffusers with the same weights. A LoRA with random parts is written in
every key format and loaded by ComfyUI's loader, by diffusers' (`load_lora_weights`), by LyCORIS' merge, and by
musubi-tuner's (kohya's own) where `--musubi` names a checkout; what merging changes in each layer is compared with what
the adapter adds.

    COMFYUI_PATH=… python -m benchmarks.loaders [--musubi DIR] [--only NAME …] [--write]

prints the table; with --write the result becomes `core/train/lora_loaders.json`, which `maskloss lora check` reads, and
the table in `docs/loaders.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from maskloss.core.comfy.model.architectures import architecture_of
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_file import KeyFormat, save_lora
from maskloss.core.train.lora_layers import as_product, layers_of
from maskloss.core.train.lora_loaders import LOADERS_FILE, NO_MODEL, table
from safetensors.torch import save_file

from tests.helpers.tiny_comfy import tiny_diffusers as twins

FORMATS = (KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA, KeyFormat.DIFFUSERS)
_EXACT = 1e-3
REFUSALS = (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, AssertionError)
# The networks that musubi-tuner trains and samples.
MUSUBI = (
    "wan", "flux", "flux2", "hunyuan_video", "hunyuan_video15", "qwen_image", "z_image", "kandinsky5", "krea2",
)  # fmt: skip
Changes = dict[str, torch.Tensor]
Loader = Callable[[str, Path, Changes], str]


def main() -> None:
    options = _options()
    loaders: dict[str, Loader] = {"comfyui": by_comfyui, "diffusers": by_diffusers, "lycoris": by_lycoris}
    versions = {name: version(package) for name, package in (("diffusers", "diffusers"), ("lycoris", "lycoris-lora"))}
    versions["comfyui"] = importlib.import_module("comfyui_version").__version__
    if options.musubi:
        sys.path.insert(0, str(options.musubi / "src"))
        loaders["kohya"] = by_musubi
        versions["kohya"] = options.commit
    results: dict[str, Any] = {}
    for name in options.only or twins.TWINS:
        with tempfile.TemporaryDirectory() as folder:
            architecture, measured = measure(name, Path(folder), loaders)
        # Several networks of one architecture say the same.
        results.setdefault(architecture, {}).update(measured)
        print(name, json.dumps(measured), flush=True)
    facts = {"versions": dict(sorted(versions.items())), "architectures": results}
    if options.write:
        LOADERS_FILE.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        page = Path(__file__).parent.parent / "docs" / "loaders.md"
        start = page.read_text(encoding="utf-8").partition("<!-- table -->")[0]
        page.write_text(f"{start}<!-- table -->\n\n{table(facts)}", encoding="utf-8")
    print(table(facts))


def measure(name: str, folder: Path, loaders: Mapping[str, Loader]) -> tuple[str, dict[str, Any]]:
    """Verdicts by algorithm, format and loader, and the architecture that they are for."""
    network = twins.comfy_model(name).model
    known = architecture_of(network)
    measured: dict[str, Any] = {}
    for algorithm in Algorithm:
        tensors, changes = trained(network, known.targets, algorithm)
        for key_format in FORMATS:
            path = folder / f"{algorithm.value}-{key_format.value}.safetensors"
            metadata = {"modelspec.architecture": f"{known.name}/lora"}
            save_lora(path, tensors, metadata, key_format, lambda module: weight_of(network, module))
            row = measured.setdefault(algorithm.value, {}).setdefault(key_format.value, {})
            for loader, load in loaders.items():
                row[loader] = load(name, path, changes)
    return known.name, measured


def trained(network: Any, targets: str, algorithm: Algorithm) -> tuple[Changes, Changes]:
    """A LoRA with random parts by its file keys, and by module what it adds to the weight."""
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        adapters = LoraAdapters(
            network.diffusion_model, LoraConfig(rank=4, alpha=2, algorithm=algorithm), targets, generator,
            torch.device("cpu"), torch.float32,
        )  # fmt: skip
        for parameter in adapters.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        tensors = adapters.state_dict()
        changes: Changes = {}
        for stem, parts in layers_of(tensors).items():
            module = stem.removeprefix("diffusion_model.")
            product, weight = as_product(module, parts), weight_of(network, module).double()
            delta = (product.up.double().flatten(1) @ product.down.double().flatten(1)).reshape(weight.shape)
            if ".dora_scale" in parts:
                factor = parts[".dora_scale"].double().flatten() / weight.flatten(1).norm(dim=1)
                delta = (weight + delta) * factor.reshape(-1, *(1 for _ in weight.shape[1:])) - weight
            changes[module] = delta.float()
    return tensors, changes


def weight_of(network: Any, module: str) -> torch.Tensor:
    return network.diffusion_model.get_submodule(module).weight.detach().float()


def by_comfyui(name: str, path: Path, changes: Changes) -> str:
    """ComfyUI's Load LoRA."""
    sd, lora = importlib.import_module("comfy.sd"), importlib.import_module("comfy.lora")
    file = importlib.import_module("comfy.utils").load_torch_file(str(path))
    with silenced(), torch.inference_mode():
        patched, _ = sd.load_lora_for_models(twins.comfy_model(name), None, dict(file), 1.0, 0.0)
        found: Changes = {}
        for key, patches in patched.patches.items():
            weight = patched.get_model_object(key).clone()
            found[key.removeprefix("diffusion_model.").removesuffix(".weight")] = (
                lora.calculate_weight(patches, weight.clone(), key) - weight
            )
    return verdict(found, changes)


def by_diffusers(name: str, path: Path, changes: Changes) -> str:
    """diffusers' load_lora_weights, or load_lora_adapter where no pipeline has the former."""
    with silenced():
        try:
            found = twins.loaded_changes(name, path)
        except REFUSALS as problem:
            return f"refused: {type(problem).__name__}"
    return verdict(found, twins.expected_changes(name, changes))


def by_lycoris(name: str, path: Path, changes: Changes) -> str:
    """LyCORIS' merge, into the network that kohya's trainers have: diffusers' for Stable Diffusion 1 and 2."""
    theirs = name in ("sd15", "sd2")
    with torch.inference_mode(False):
        network = twins.diffusers_model(name) if theirs else _network_of(name)
    layers = {
        key: layer for key, layer in network.named_modules() if isinstance(getattr(layer, "weight", None), torch.Tensor)
    }
    before = {key: layer.weight.detach().clone() for key, layer in layers.items()}
    file = importlib.import_module("safetensors.torch").load_file(str(path))
    with silenced(), torch.no_grad():
        try:
            importlib.import_module("lycoris.utils").merge((), network, file)
        except REFUSALS as problem:
            return f"refused: {type(problem).__name__}"
    found = {key: layer.weight.detach() - before[key] for key, layer in layers.items()}
    changed = {key: delta for key, delta in found.items() if bool(delta.abs().max() > 0)}
    return verdict(changed, twins.expected_changes(name, changes) if theirs else changes)


def by_musubi(name: str, path: Path, changes: Changes) -> str:
    """musubi-tuner's merging while a model loads. It goes by names alone; of most networks it has no model."""
    if name not in MUSUBI:
        return NO_MODEL
    reader = importlib.import_module("musubi_tuner.utils.lora_utils")
    network = _network_of(name)
    state = {key: value.contiguous().clone() for key, value in network.state_dict().items()}
    lora = importlib.import_module("safetensors.torch").load_file(str(path))
    with silenced(), tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        save_file(state, model)
        try:
            merged = reader.load_safetensors_with_lora_and_fp8(str(model), [lora], [1.0], False, torch.device("cpu"))
        except REFUSALS as problem:
            return f"refused: {type(problem).__name__}"
    found = {key.removesuffix(".weight"): merged[key] - state[key] for key in state if key.endswith(".weight")}
    return verdict({key: delta for key, delta in found.items() if bool(delta.abs().max() > 0)}, changes)


def verdict(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str:
    """`exact`, `ignored` (nothing changed), `n of m layers` (the others untouched), or how far it is off."""
    if not found:
        return "ignored"
    off = {name: _off(found.get(name), wanted.get(name)) for name in {*found, *wanted}}
    if max(off.values()) < _EXACT:
        return "exact"
    right = [name for name in wanted if off[name] < _EXACT]
    if all(name in right or name not in found for name in off):
        return f"{len(right)} of {len(wanted)} layers"
    worst = max(value for name, value in off.items() if name in found)
    return f"off by {100 * worst:.0f} %" if not right else f"{len(right)} of {len(wanted)} layers, others off"


def _off(found: torch.Tensor | None, wanted: torch.Tensor | None) -> float:
    if found is None or wanted is None:
        return 1.0
    return float((found.reshape(wanted.shape) - wanted).norm() / wanted.norm().clamp(min=1e-12))


def _network_of(name: str) -> torch.nn.Module:
    """A copy of ComfyUI's network with plain parameters."""
    with torch.inference_mode(False):
        network = copy.deepcopy(twins.comfy_model(name).model.diffusion_model)
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()
    return network


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """The libraries' own talk is not wanted in the table."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--musubi", type=Path, metavar="DIR", help="a checkout of musubi-tuner")
    parser.add_argument("--commit", default="", help="its commit, for the table")
    parser.add_argument("--only", nargs="*", choices=list(twins.TWINS), help="these networks alone")
    parser.add_argument("--write", action="store_true", help="write the data file and the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
