"""The node, on published and connected models."""

from __future__ import annotations

import json

import pytest
from maskloss.core.comfy.model.full_size import full_size_models
from maskloss.core.errors import SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.plan import CONNECTED, MaskLossMemoryPlan


def test_without_a_model_it_says_what_to_do():
    with pytest.raises(SettingError, match="connect a MODEL, or choose an architecture"):
        MaskLossMemoryPlan().run()


def test_every_published_model_can_be_chosen():
    options = MaskLossMemoryPlan.INPUT_TYPES()["optional"]["architecture"][1]["options"]
    assert options == [CONNECTED, *full_size_models()]


@pytest.mark.comfy
def test_a_published_and_a_connected_model(tmp_path):
    tiny = pytest.importorskip("tiny_comfy.tiny_models")
    with use_host(LocalHost(output_directory=tmp_path)):
        named = MaskLossMemoryPlan().run(architecture="sd1.5", resolution_width=512, resolution_height=512)
        connected = MaskLossMemoryPlan().run(
            model=tiny.load_model("wan"), resolution_width=64, resolution_height=64, gradient_checkpointing=False
        )
    plan = json.loads(named["result"][0])
    assert plan["model"] == "sd1.5"
    assert {each["gib"]: each["verdict"] for each in plan["devices"]}[24] == "fits"
    assert named["result"][1].shape[0] == 1
    assert (tmp_path / "previews").is_dir()
    assert named["ui"]["text"][0].startswith("sd1.5: 512x512")
    changes = [each["change"] for each in json.loads(connected["result"][0])["changes"]]
    assert changes[0] == "gradient_checkpointing on"
