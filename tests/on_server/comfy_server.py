"""A real ComfyUI server for the tests: its start, its prompts, and what it says of them.

COMFYUI_PATH names a checkout, COMFYUI_PYTHON an interpreter that has its requirements and ours, COMFYUI_FRONTEND the
folder of another front end than its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import maskloss
import numpy as np
import torch
from maskloss.core.parts.part_map import SCHEMES
from PIL import Image

TINY = Path(__file__).parents[1] / "helpers/tiny_comfy"
# Only for what never comes: nothing is measured by them.
SECONDS_TO_START = 900
SECONDS_TO_RUN = 1800


class AllFace(torch.nn.Module):
    """Sapiens in form: 28 classes, and everything is Face_Neck."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(1, 28, 4, 3)
        scores[:, 2] = 1
        return scores


@dataclass(frozen=True)
class Server:
    url: str
    base: Path
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=SECONDS_TO_RUN) as answer:
            return json.load(answer)

    def post(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """The answer to POST /prompt, also when the prompt is refused."""
        body = json.dumps({"prompt": prompt}).encode()
        request = urllib.request.Request(self.url + "/prompt", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_TO_RUN) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            return json.load(refusal)

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """The history of a prompt that passes validation."""
        answer = self.post(prompt)
        assert not answer["node_errors"], answer
        deadline = time.monotonic() + SECONDS_TO_RUN
        while time.monotonic() < deadline:
            history = self.get(f"/history/{answer['prompt_id']}")
            if history:
                return history[answer["prompt_id"]]
            time.sleep(0.2)
        raise TimeoutError(self.log.read_text())


def running_server(checkout: str, base: Path) -> Iterator[Server]:
    """A server on folders of its own under `base`, with this pack, toy models and nodes that make tiny ones."""
    for folder in ("custom_nodes", "input", "output", "temp", "user"):
        (base / folder).mkdir()
    (base / "custom_nodes/ComfyUI-MaskLoss").symlink_to(Path(maskloss.__file__).parent)
    tiny = base / "custom_nodes/tiny"
    tiny.mkdir()
    for module in ("tiny_nodes", "tiny_models", "tiny_networks", "tiny_sam3", "gallery"):
        (tiny / f"{module}.py").symlink_to(TINY / f"{module}.py")
    (tiny / "__init__.py").write_text("from .tiny_nodes import NODE_CLASS_MAPPINGS\n")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(base / "input/photo.png")
    (base / "input/photos").mkdir()
    Image.fromarray(pixels).save(base / "input/photos/photo.png")
    for folder in ("sams/deep", "sapiens"):
        (base / "models" / folder).mkdir(parents=True)
    (base / "models/sams/deep/tiny.pth").write_bytes(b"x")
    torch.jit.script(AllFace()).save(str(base / "models/sapiens/toy.pt2"))
    names = dict(enumerate(SCHEMES["sapiens2_29"].names))
    for path, text in {
        "sapiens2/seg/config.json": json.dumps({"model_type": "sapiens2", "id2label": names}),
        "sapiens2/seg/preprocessor_config.json": "{}",
        "sapiens2/seg/model.safetensors": "",
        "insightface/models/pack/recognition.onnx": "",
    }.items():
        (base / "models" / path).parent.mkdir(parents=True, exist_ok=True)
        (base / "models" / path).write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = base / "server.log"
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    options = ["--cpu", "--port", str(port), "--base-directory", str(base), "--disable-api-nodes"]
    if "COMFYUI_FRONTEND" in os.environ:
        options += ["--front-end-root", os.environ["COMFYUI_FRONTEND"]]
    with log.open("wb") as stream:
        process = subprocess.Popen([python, "main.py", *options], cwd=checkout, stdout=stream, stderr=subprocess.STDOUT)
    try:
        started = Server(f"http://127.0.0.1:{port}", base, log)
        _wait_for(started, process)
        yield started
    finally:
        process.terminate()
        process.wait(timeout=SECONDS_TO_RUN)


def _wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("/system_stats")
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(server.log.read_text())


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def failure(history: dict[str, Any]) -> dict[str, Any]:
    (error,) = [message for kind, message in history["status"]["messages"] if kind == "execution_error"]
    return error
