"""Train LoRA with two devices in a real ComfyUI server: its loader's files, panel, interrupt, and errors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.state import load_state

from .comfy_server import SECONDS_TO_RUN, Server, failure, node

pytestmark = pytest.mark.comfy

# A tiny random WAN in a file, as ComfyUI's own loader finds it.
_WAN = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import comfy.cli_args
comfy.cli_args.args.cpu = True
import comfy.supported_models
from safetensors.torch import save_file
configuration = comfy.supported_models.WAN21_T2V({
    "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 256, "num_layers": 2,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
})
configuration.set_inference_dtype(torch.float32, None)
network = configuration.get_model({}, "", device="cpu").diffusion_model
generator = torch.Generator().manual_seed(0)
save_file({name: torch.randn(each.shape, generator=generator) * 0.05 for name, each in network.state_dict().items()},
          sys.argv[2])
"""


class Text:
    """Random embeddings as wide as WAN's own."""

    identity = "random"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(len(caption))
        return {"cross_attn": torch.randn(1, 8, 4096, generator=generator)}


@pytest.fixture(scope="module")
def files(checkout: str, server: Server) -> None:
    """The WAN among the server's models, and a cache of four pictures in its output."""
    folder = server.base / "models/diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", _WAN, checkout, str(folder / "devices_wan.safetensors")]
    subprocess.run(command, check=True, cwd=server.base)
    items = []
    for number in range(4):
        path = server.base / f"input/devices/{number}.png"
        save_image(path, np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        items.append(DatasetItem(str(number), path, LoadSettings(resolution=(64, 64)), caption="word " * number))
    cache, _ = cache_latents(Dataset(tuple(items)), DemoLatentEncoder(), server.base / "output/devices_cache")
    cache_text(cache, Text())


def training(**settings: Any) -> dict[str, Any]:
    chosen = {"steps": 3, "training_dtype": "fp32", **settings}
    return {
        "model": node("UNETLoader", unet_name="devices_wan.safetensors", weight_dtype="default"),
        "shifted": node("ModelSamplingSD3", model=["model", 0], shift=3.0),
        "cache": node("MaskLossLoadCache", cache_directory="devices_cache"),
        "optimizer": node("MaskLossOptimizer", optimizer_args="eps=1e-4"),
        "train": node(
            "MaskLossTrainLora", model=["shifted", 0], cache=["cache", 0], optimizer=["optimizer", 0], **chosen
        ),
        "saved": node("MaskLossSaveLora", lora=["train", 0], filename_prefix="loras/devices"),
    }


def panel(server: Server, name: str) -> dict[str, Any]:
    (run,) = [run for run in server.get("/maskloss/training")["runs"] if run["run"] == name]
    return run


def test_two_devices_train_the_lora_of_one(server: Server, files: None) -> None:
    two = server.run(training(devices=2, output_name="devices_two"))
    assert two["status"]["status_str"] == "success", two["status"]
    one = server.run(training(gradient_accumulation_steps=2, output_name="devices_one"))
    assert one["status"]["status_str"] == "success", one["status"]
    found, expected = (load_lora(server.base / f"output/devices_{name}.safetensors") for name in ("two", "one"))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert float((found[key] - value).norm()) <= 1e-6 * float(value.norm()), key
    first, second = panel(server, "devices_one"), panel(server, "devices_two")
    assert second["state"] == "finished"
    assert [len(run["points"]) for run in (first, second)] == [3, 3]
    assert second["columns"] == first["columns"]
    step, loss = (first["columns"].index(name) for name in ("step", "loss"))
    for mine, other in zip(first["points"], second["points"], strict=True):
        assert mine[step] == other[step]
        assert mine[loss] == pytest.approx(other[loss])
    # Only of this run, and what one process says as well.
    said = [[text for text in run["outputs"]["train"]["said"] if "LoRA on" in text] for run in (one, two)]
    assert said[0] == said[1] != []
    assert two["outputs"]["train"]["maskloss"][0]["steps"] == 3


def test_an_interrupt_stops_all_and_keeps_what_was_learnt(server: Server, files: None) -> None:
    answer = server.post(training(devices=2, steps=100_000, output_name="devices_stopped"))
    assert not answer["node_errors"], answer
    deadline = time.monotonic() + SECONDS_TO_RUN
    while not any(
        run["run"] == "devices_stopped" and run["points"] for run in server.get("/maskloss/training")["runs"]
    ):
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.1)
    urllib.request.urlopen(urllib.request.Request(server.url + "/interrupt", b"{}"), timeout=SECONDS_TO_RUN).close()
    while not (history := server.get(f"/history/{answer['prompt_id']}")):
        time.sleep(0.1)
    messages = history[answer["prompt_id"]]["status"]["messages"]
    assert "execution_interrupted" in [kind for kind, _ in messages]
    assert panel(server, "devices_stopped")["state"] == "interrupted"
    state = load_state(server.base / "output/devices_stopped.state")
    assert 0 < state.step < 100_000
    assert load_lora(server.base / "output/devices_stopped.safetensors")
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "maskloss_devices_" not in processes
    again = server.run(
        training(gradient_accumulation_steps=2, steps=state.step + 1, output_name="devices_stopped")
    )  # fmt: skip
    assert again["status"]["status_str"] == "success", again["status"]


def test_an_error_of_the_processes_is_shown_at_the_node(server: Server, files: None) -> None:
    error = failure(server.run(training(devices=5, output_name="devices_many")))
    assert error["node_id"] == "train"
    assert "5 devices would share 4 cached items" in error["exception_message"]


def test_a_model_of_another_packs_loader_is_refused(server: Server, files: None) -> None:
    prompt = training(devices=2, output_name="devices_other")
    prompt["model"] = node("TinyModel", name="wan")
    error = failure(server.run(prompt))
    assert error["node_id"] == "train"
    assert "node model (TinyModel), which leads to model" in error["exception_message"]
    assert "set devices to 1" in error["exception_message"]
