"""The pack in a real ComfyUI server: it loads without a word, and prompts are checked and run."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import maskloss
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from .comfy_server import SECONDS_TO_RUN, Server, failure, node

pytestmark = pytest.mark.comfy


def preview(**settings: Any) -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="photo.png"),
        "2": node("MaskLossPreviewWeights", weights=["1", 1], mask_loss=["3", 0]),
        "3": node("MaskLossSettings", **settings),
    }


def test_the_pack_loads_without_a_word(server: Server) -> None:
    log = server.log.read_text().partition("Starting server")[0]
    assert "custom_nodes/ComfyUI-MaskLoss" in log
    assert "IMPORT FAILED" not in log
    assert "Cannot import" not in log
    assert not [line for line in log.splitlines() if "MaskLoss" in line and ("WARN" in line or "ERROR" in line)]
    found = server.get("/object_info")
    assert set(maskloss.NODE_CLASS_MAPPINGS) <= set(found)
    for name, title in maskloss.NODE_DISPLAY_NAME_MAPPINGS.items():
        assert found[name]["display_name"] == title
        assert found[name]["category"].startswith("MaskLoss/")


def test_a_prompt_runs_and_its_results_reach_the_history(server: Server) -> None:
    history = server.run(preview(gamma=0.7, min_weight=0.05))
    assert history["status"]["status_str"] == "success"
    output = history["outputs"]["2"]
    (image,) = output["images"]
    assert (server.base / image["type"] / image["subfolder"] / image["filename"]).is_file()
    statistics = json.loads(output["text"][0])
    assert statistics["grid"] == [12, 8]
    assert 0.05 < statistics["coverage"] < statistics["mean"] < 1, "gamma below 1 and a floor lift the weights"


def test_alpha_is_weight_and_colours_are_kept(server: Server) -> None:
    prompt = {
        "1": node("LoadImage", image="photo.png"),
        "2": node("MaskLossMergeAlpha", image=["1", 0], weights=["1", 1], filename_prefix="merged/x", caption="hello"),
    }
    assert server.run(prompt)["status"]["status_str"] == "success"
    source = np.asarray(Image.open(server.base / "input/photo.png"))
    merged = np.asarray(Image.open(server.base / "output/merged/x_00001.png"))
    assert np.array_equal(merged[..., :3], source[..., :3])
    assert np.array_equal(merged[..., 3], 255 - source[..., 3])
    assert (server.base / "output/merged/x_00001.txt").read_text() == "hello"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"gamma": 0}, "mask_gamma must be > 0"),
        ({"gamma": float("nan")}, "mask_gamma must be > 0"),
        ({"min_weight": 1.0}, "mask_min_weight must be in range [0, 1)"),
        ({"blur": 4}, "odd"),
        ({"normalization": "mean"}, "not in ['per_sample'"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(server: Server, settings: dict[str, Any], text: str) -> None:
    answer = server.post(preview(**settings))
    assert "prompt_id" not in answer
    (error,) = answer["node_errors"]["3"]["errors"]
    assert text in error["details"]


def test_unknown_inputs_are_refused_when_the_node_runs(server: Server) -> None:
    error = failure(server.run(preview(gama=0.7)))
    assert (error["node_id"], error["node_type"]) == ("3", "MaskLossSettings")
    assert "'gama' is not an input of MaskLossSettings; did you mean 'gamma'?" in error["exception_message"]
    assert error["exception_type"].endswith("PromptError")


def test_a_path_that_climbs_out_is_refused(server: Server) -> None:
    prompt = {
        "1": node("MaskLossLoadCache", cache_directory="../.."),
        "2": node("MaskLossPreviewCache", cache=["1", 0]),
    }
    error = failure(server.run(prompt))
    assert "leads out of" in error["exception_message"]
    assert error["node_id"] == "1"


def test_the_same_prompt_again_does_not_run_again(server: Server) -> None:
    assert server.run(preview(gamma=0.9))["status"]["status_str"] == "success"
    again = server.run(preview(gamma=0.9))
    (cached,) = [message for kind, message in again["status"]["messages"] if kind == "execution_cached"]
    assert set(cached["nodes"]) == {"1", "2", "3"}
    assert again["outputs"]["2"]["images"]


def test_models_in_comfyuis_folders_are_offered(server: Server) -> None:
    for name, model in (("MaskLossPersonSegmenter", "deep/tiny.pth"), ("MaskLossPartSegmenter", "toy.pt2")):
        (info,) = server.get(f"/object_info/{name}").values()
        options = info["input"]["required"]["model"][1]["options"]
        assert options[0] == "bundled"
        assert model in options[1:]


def parts(model: str) -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="photo.png"),
        "2": node("MaskLossPartSegmenter", model=model),
        "3": node("MaskLossSegmentParts", image=["1", 0], segmenter=["2", 0]),
        "4": node("MaskLossPartsToMask", parts=["3", 0], classes="face"),
        "5": node("MaskLossPreviewWeights", weights=["4", 0]),
    }


def test_a_lost_model_is_refused_with_our_sentence(server: Server) -> None:
    answer = server.post(parts("lost.pt2"))
    assert "prompt_id" not in answer
    (error,) = answer["node_errors"]["2"]["errors"]
    for words in ("lost.pt2 was not found", str(server.base / "models/sapiens"), "CC-BY-NC 4.0", "'bundled'"):
        assert words in error["details"]


def test_a_models_licence_reaches_the_user(server: Server) -> None:
    for _ in range(2):
        history = server.run(parts("toy.pt2"))
        assert history["status"]["status_str"] == "success"
        assert "CC-BY-NC" in history["outputs"]["2"]["text"][0], "from ComfyUI's cache too"
    assert json.loads(history["outputs"]["5"]["text"][0])["coverage"] == 1
    assert "CC-BY-NC" in server.log.read_text()


def runs_of(server: Server, name: str) -> list[dict[str, Any]]:
    """What the server keeps of the runs with that output name; other tests' runs are there too."""
    return [kept for kept in server.get("/maskloss/training")["runs"] if kept["run"] == name]


def test_the_course_of_a_training_node_is_served(server: Server) -> None:
    assert not runs_of(server, "loras/served")
    history = server.run(training(steps=3))
    assert history["status"]["status_str"] == "success", failure(history)
    (kept,) = runs_of(server, "loras/served")
    assert (kept["node"], kept["steps"], kept["state"]) == ("6", 3, "finished")
    assert kept["prompt"]
    assert [row[0] for row in kept["points"]] == [1, 2, 3]
    measured = ("smoothed", "loss", "inside", "outside", "coverage", "learning_rate", "grad_norm")
    columns = [kept["columns"].index(name) for name in measured if name in kept["columns"]]
    assert len(columns) >= 5
    assert all(isinstance(row[column], float) for row in kept["points"] for column in columns)


def test_an_interrupt_keeps_what_was_learnt_and_the_next_queue_goes_on(server: Server) -> None:
    endless = server.post(training(steps=1_000_000, output_name="loras/cut"))
    deadline = time.monotonic() + SECONDS_TO_RUN
    run: dict[str, Any] = {"points": []}
    while len(run["points"]) < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
        runs = runs_of(server, "loras/cut")
        run = runs[0] if runs else run
    assert (run["state"], run["prompt"]) == ("running", endless["prompt_id"])
    assert run["eta"] > 0
    urllib.request.urlopen(
        urllib.request.Request(server.url + "/interrupt", method="POST"), timeout=SECONDS_TO_RUN
    ).close()
    while not server.get(f"/history/{endless['prompt_id']}") and time.monotonic() < deadline:
        time.sleep(0.2)
    (run,) = runs_of(server, "loras/cut")
    assert run["state"] == "interrupted"
    steps = run["points"][-1][0]
    assert metadata_of(server.base / "output/loras/cut.safetensors")["ss_steps"] == str(steps)

    history = server.run(training(steps=steps + 2, output_name="loras/cut"))
    assert any(f"Going on after step {steps} of {steps + 2}." in text for text in history["outputs"]["6"]["text"])
    assert history["outputs"]["6"]["maskloss"][0]["steps"] == steps + 2


def test_comfyuis_own_nodes_take_what_training_gives(server: Server) -> None:
    prompt = training(steps=4, output_name="loras/native")
    prompt |= {
        "7": node("SaveLoRA", lora=["6", 0], prefix="loras/resaved"),
        "8": node("LossGraphNode", loss=["6", 1], filename_prefix="loss"),
    }
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)
    (picture,) = history["outputs"]["8"]["images"]
    assert picture["filename"]
    (resaved,) = (server.base / "output/loras").glob("resaved*.safetensors")
    ours, theirs = (load_file(path) for path in (server.base / "output/loras/native.safetensors", resaved))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def training(steps: int, output_name: str = "loras/served") -> dict[str, Any]:
    return {
        "1": node("MaskLossDemoModels"),
        "2": node("MaskLossLoadDataset", directory="photos", alpha_mask=True, resolution_width=64),
        "3": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="cache"),
        "4": node("MaskLossCacheText", cache=["3", 0], clip=["1", 2]),
        "5": node("MaskLossSettings"),
        "6": node(
            "MaskLossTrainLora", model=["1", 0], cache=["4", 0], mask_loss=["5", 0], steps=steps,
            output_name=output_name,
        ),
    }  # fmt: skip


def test_a_licence_that_forbids_biometrics_is_said_whichever_loader_comes_later(server: Server) -> None:
    """Nothing of these models is read: their files are empty."""
    prompt = {"1": node("MaskLossPartSegmenter", model="seg"), "2": node("PreviewAny", source=["1", 0])}
    assert server.run(prompt)["outputs"]["1"]["text"] == ["The Sapiens2 licence forbids biometric processing."]
    prompt |= {"3": node("MaskLossFaceRecognizer", model="pack"), "4": node("PreviewAny", source=["3", 0])}
    history = server.run(prompt)
    weights, warning = history["outputs"]["3"]["text"]
    assert "The weights of pack are licensed for non-commercial research only" in weights
    assert "sapiens2 seg is used in one workflow with Load Face Recognizer" in warning
    assert warning in server.log.read_text()


def sam3(**prompts: str) -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="photo.png"),
        "2": node("TinySam3"),
        "3": node("MaskLossSam3Segmenters", model=["2", 0], clip=["2", 1], **prompts),
        "4": node("MaskLossSegmentParts", image=["1", 0], segmenter=["3", 1]),
        "5": node("MaskLossWeightedMask", parts=["4", 0], image=["1", 0]),
        "6": node("MaskLossPreviewWeights", weights=["5", 0]),
    }


def test_sam_3_tells_parts_apart(server: Server) -> None:
    history = server.run(sam3())
    assert history["status"]["status_str"] == "success", history
    statistics = json.loads(history["outputs"]["6"]["text"][0])
    assert statistics["grid"] == [12, 8]
    assert 0 < statistics["coverage"] < 1, "what a random network takes for a face is not everything"
    for output in ("4", "5"):
        (image,) = history["outputs"][output]["images"]
        assert Image.open(server.base / image["type"] / image["subfolder"] / image["filename"]).size == (96, 64)


def test_sam_3_refuses_prompts_without_words(server: Server) -> None:
    (error,) = server.post(sam3(hair_prompt=":3"))["node_errors"]["3"]["errors"]
    assert "hair_prompt holds ':3'; write words" in error["details"]
