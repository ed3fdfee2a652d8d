"""ComfyUI's whole list of models: each is trained or refused by name, and README's table says which."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from maskloss.core.comfy.model.predictions import supported_image_channels
from maskloss.core.errors import TrainingError
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.tiny_networks import FURTHER, MAIN

pytestmark = pytest.mark.comfy

LIST: Any = tiny.comfy.supported_models
README = Path(__file__).parents[4] / "README.md"
# What the table calls them: those that are trained here in every way, on tiny random weights.
TRAINED = {
    "WAN21_T2V": "WAN 2.1", "WAN22_T2V": "WAN 2.2 5B", "WAN21_I2V": "WAN 2.1", "HunyuanVideo": "HunyuanVideo",
    "Flux": "Flux dev", "FluxSchnell": "Flux schnell", "FluxInpaint": "Flux Fill", "Flux2": "Flux 2",
    "WAN21_Vace": "WAN VACE, with a hole",
    "SD3": "SD3", "QwenImage": "Qwen-Image", "SD15": "SD 1.5", "SDXL": "SDXL", "SD20": "SD 2",
    "SDXLRefiner": "SDXL Refiner", "Chroma": "Chroma", "ChromaRadiance": "Chroma Radiance", "MageFlow": "Mage-Flow",
    "HunyuanVideo15": "HunyuanVideo 1.5", "HunyuanImage21": "HunyuanImage 2.1", "LongCatImage": "LongCat-Image",
    "Lumina2": "Lumina 2", "ZImage": "Z-Image", "ZImagePixelSpace": "Z-Image (also in pixel space)",
    "Kandinsky5": "Kandinsky 5", "Kandinsky5Image": "Kandinsky 5", "Anima": "Anima", "AuraFlow": "AuraFlow",
    "LTXV": "LTXV", "LTXAV": "LTX-2", "MiniMaxH3": "MiniMax H3 (its picture)", "JoyImage": "JoyImage",
    "Krea2": "Krea 2", "Lens": "Lens", "PixelDiTT2I": "PixelDiT", "Omnigen2": "Omnigen 2", "Boogu": "Boogu",
    "HiDream": "HiDream I1", "PixArtSigma": "PixArt Sigma", "GenmoMochi": "Mochi", "ErnieImage": "ERNIE-Image",
}  # fmt: skip
# Trained by hand once, or of the same class as one that is trained.
BY_HAND = {
    "HunyuanDiT": "HunyuanDiT", "HunyuanDiT1": "HunyuanDiT", "Ideogram4": "Ideogram 4", "PixArtAlpha": "PixArt Alpha",
    "SSD1B": "SSD-1B", "Segmind_Vega": "Segmind Vega", "KOALA_700M": "KOALA", "KOALA_1B": "KOALA",
    "SD21UnclipL": "SD 2.1 unCLIP", "SD21UnclipH": "SD 2.1 unCLIP", "WAN21_CausalAR_T2V": "WAN's causal one",
}  # fmt: skip
REFUSED = {
    "CosmosT2V": "Cosmos", "CosmosI2V": "Cosmos", "CosmosT2IPredict2": "Cosmos Predict 2",
    "CosmosI2VPredict2": "Cosmos Predict 2", "WAN21_FlowRVS": "FlowRVS", "CogVideoX_T2V": "CogVideoX",
    "CogVideoX_I2V": "CogVideoX", "CogVideoX_Inpaint": "CogVideoX", "SVD_img2vid": "SVD", "SV3D_u": "SV3D",
    "SV3D_p": "SV3D", "Stable_Cascade_B": "Stable Cascade", "Stable_Cascade_C": "Stable Cascade", "LotusD": "Lotus",
    "WAN22_S2V": "S2V", "WAN21_FunControl2V": "Fun Control",
    "WAN21_Camera": "Camera", "WAN22_Camera": "Camera", "WAN21_HuMo": "HuMo", "WAN22_Animate": "Animate",
    "WAN_Animate2": "Animate", "WAN21_SCAIL": "SCAIL", "WAN21_SCAIL2": "SCAIL", "WAN22_WanDancer": "WanDancer",
    "HunyuanVideoI2V": "HunyuanVideo I2V", "HunyuanVideoSkyreelsI2V": "SkyReels",
    "HunyuanImage21Refiner": "HunyuanImage Refiner", "HunyuanVideo15_SR_Distilled": "HunyuanVideo 1.5 SR",
    "SD15_instructpix2pix": "InstructPix2Pix", "SDXL_instructpix2pix": "InstructPix2Pix",
    "Stable_Zero123": "Zero123", "SD_X4Upscaler": "the x4 upscaler", "PiD": "PiD", "HiDreamO1": "HiDream O1",
    "SeedVR2": "SeedVR2", "StableAudio": "sound", "StableAudio3": "sound", "ACEStep": "sound", "ACEStep15": "sound",
    "MiniMaxMusic3": "sound", "Hunyuan3Dv2": "3-D", "Hunyuan3Dv2mini": "3-D", "Hunyuan3Dv2_1": "3-D",
    "TripoSplat": "3-D", "Trellis2": "3-D", "RT_DETR_v4": "of seeing", "SAM3": "of seeing", "SAM31": "of seeing",
    "DepthAnything3": "of seeing",
}  # fmt: skip
# Of these ComfyUI makes the class without a network, which is enough to be refused.
WITHOUT_NETWORK = ("SAM3", "SAM31", "RT_DETR_v4", "DepthAnything3", "TripoSplat", "Hunyuan3Dv2_1")
DRIVEN = (
    "WAN21_Camera", "WAN21_HuMo", "WAN21_SCAIL", "WAN21_SCAIL2", "WAN22_S2V", "WAN22_Animate",
    "WAN22_WanDancer", "WAN_Animate2", "PiD", "SeedVR2", "CogVideoX_T2V", "CosmosT2V", "CosmosT2IPredict2",
)  # fmt: skip


def table() -> list[tuple[str, str]]:
    """The rows of README's table of models: names, and what is said of them."""
    text = README.read_text(encoding="utf-8").partition("| model | captions of different lengths in a batch | |\n")[2]
    rows = [line.strip("|").split("|") for line in text.partition("\n\n")[0].splitlines()[1:]]
    return [(row[0], "|".join(row[1:])) for row in rows]


def test_no_model_of_comfyuis_list_is_missing_and_readme_names_each() -> None:
    listed = {kind.__name__ for kind in LIST.models}
    known = [*TRAINED, *BY_HAND, *REFUSED]
    assert len(known) == len(set(known))
    assert set(known) == listed
    refused = [names for names, said in table() if "refused" in said]
    trained = [names for names, said in table() if "refused" not in said]
    assert refused
    assert not {name for name in {*TRAINED.values(), *BY_HAND.values()} if not any(name in row for row in trained)}
    assert not {name for name in REFUSED.values() if not any(name in row for row in refused)}


def test_what_is_trained_is_tested() -> None:
    tested = {network.kind for network in (*MAIN.values(), *FURTHER.values())}
    assert set(TRAINED) - tested == {"FluxInpaint", "WAN21_I2V", "WAN21_Vace"}, (
        "these are tested with what they are given"
    )
    assert tested <= set(TRAINED)


@pytest.mark.parametrize("name", [*WITHOUT_NETWORK, *DRIVEN])
def test_what_is_refused_is_refused_by_name(name: str) -> None:
    model = without_network(name)
    with pytest.raises(TrainingError) as refused:
        supported_image_channels(SimpleNamespace(model=model, get_model_object=lambda _name: model.model_sampling))
    assert type(model).__name__ in str(refused.value) or "cannot be trained here" in str(refused.value)


def without_network(name: str) -> Any:
    """ComfyUI's model of that class, but for its network."""
    kind = getattr(LIST, name)
    configuration = kind({**kind.unet_config, "disable_unet_model_creation": True})
    return configuration.get_model({}, "", device="cpu")
