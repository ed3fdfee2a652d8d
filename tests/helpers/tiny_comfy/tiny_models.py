"""Random-weight ComfyUI models, VAEs and CLIPs as small as their classes allow. Importing it imports ComfyUI.

Everything is made in inference mode, as in ComfyUI's nodes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

_HERE = os.environ.get("COMFYUI_PATH")
if not _HERE:
    pytest.skip("COMFYUI_PATH names no ComfyUI checkout", allow_module_level=True)
if not (Path(_HERE) / "comfy" / "sd.py").exists():
    pytest.skip(f"COMFYUI_PATH is {_HERE}, which holds no ComfyUI", allow_module_level=True)
sys.path.insert(0, _HERE)

try:
    import comfy.cli_args
except ImportError as problem:
    pytest.skip(f"ComfyUI cannot be imported by this interpreter: {problem}", allow_module_level=True)
comfy.cli_args.args.cpu = not torch.cuda.is_available()

import comfy.latent_formats  # noqa: E402
import comfy.ldm.minimax.vae  # noqa: E402
import comfy.ldm.models.autoencoder  # noqa: E402
import comfy.ldm.wan.vae  # noqa: E402
import comfy.ldm.wan.vae2_2  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.nested_tensor  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.sd1_clip  # noqa: E402
import comfy.sdxl_clip  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.supported_models_base  # noqa: E402

from .tiny_networks import FURTHER, MAIN, NETWORKS, TinyNetwork  # noqa: E402

management: ModuleType = comfy.model_management

ARCHITECTURES = tuple(MAIN)
EVERY_ARCHITECTURE = (*MAIN, *FURTHER)

_loaded: dict[tuple[str, torch.dtype], Any] = {}
_clips: dict[str, Any] = {}


def load_model(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """A clone of the MODEL of that name; the network is made once, loaded by ComfyUI's own loader where it detects so
    small a one. `dtype` is what the weights are kept in; fp8 for the latter only."""
    if (name, dtype) not in _loaded:
        network = NETWORKS[name]
        with torch.inference_mode():
            model = _build(network, torch.float32 if network.detected else dtype)
            if network.detected:
                weights = dict(model.diffusion_model.state_dict())
                loaded = comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": dtype})
            else:
                loaded = comfy.model_patcher.ModelPatcher(model, management.get_torch_device(), torch.device("cpu"))
        _loaded[name, dtype] = loaded
    return _loaded[name, dtype].clone()


def _build(network: TinyNetwork, dtype: torch.dtype) -> Any:
    configuration = getattr(comfy.supported_models, network.kind)(dict(network.config))
    configuration.set_inference_dtype(dtype, None)
    model = configuration.get_model({}, "", device="cpu")
    randomise(model.diffusion_model)
    return model


def randomise(network: torch.nn.Module, seed: int = 0) -> None:
    """Weights of a size at which signals neither grow nor vanish, the same on every call."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 2:
            value = noise * parameter[0].numel() ** -0.5
        else:
            value = noise * 0.02 + (0.0 if name.endswith("bias") else 1.0)
        parameter.data = value.to(parameter.dtype)
    # SD3's is a buffer of whatever lay in memory.
    if "pos_embed" in dict(network.named_buffers()):
        network.pos_embed.copy_(torch.randn(network.pos_embed.shape, generator=generator) * 0.02)
    # MiniMax H3's frequencies are one, too.
    for name, buffer in network.named_buffers():
        if name.endswith("inv_freq"):
            buffer.copy_(10000.0 ** -torch.linspace(0, 1, len(buffer)))


def text_for(name: str, length: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    """Embeddings of a made-up caption, as the architecture's CLIP names and shapes them."""
    generator = torch.Generator().manual_seed(seed)
    network = NETWORKS[name]
    text = {"cross_attn": torch.randn(1, length, network.text, generator=generator)}
    if network.pooled:
        text["pooled_output"] = torch.randn(1, network.pooled, generator=generator)
    if network.masked:
        text["attention_mask"] = torch.ones(1, length, dtype=torch.long)
    if network.translated:
        text["t5xxl_ids"] = torch.randint(0, 32128, (length + 2,), generator=generator, dtype=torch.int)
        text["t5xxl_weights"] = torch.linspace(0.5, 1.5, length + 2)
    if name == "hidream":
        text["conditioning_llama3"] = torch.randn(1, 2, length, network.text, generator=generator)
    return text


def latent_shape(name: str, frames: int = 1, height: int = 8, width: int = 8) -> tuple[int, int, int, int]:
    """(C,T,h,w); larger than asked for where the network takes nothing so small."""
    cells = NETWORKS[name].cells
    return (_picture_format(name).latent_channels, frames, max(height, cells), max(width, cells))


def takes_videos(name: str) -> bool:
    return _latent_format(name).latent_dimensions == 3


def _picture_format(name: str) -> Any:
    own = _latent_format(name)
    return comfy.latent_formats.MiniMaxH3Video if own is comfy.latent_formats.MiniMaxH3AV else own


def empty_latent(name: str, shape: tuple[int, ...]) -> Any:
    """What ComfyUI samples from where a node gives zeros of that shape: with sound, where the model makes some."""
    return _latent_format(name)().fix_empty_latent(torch.zeros(shape))


def _latent_format(name: str) -> Any:
    return getattr(comfy.supported_models, NETWORKS[name].kind).latent_format


def sampled(patcher: Any, name: str) -> torch.Tensor:
    """What ComfyUI's own sampler makes with the MODEL in two steps, as a node runs it."""
    channels, frames, height, width = latent_shape(name, height=12)
    shape = (1, channels, frames, height, width) if takes_videos(name) else (1, channels, height, width)
    text = text_for(name, seed=3)
    positive = [[text.pop("cross_attn"), text]]
    with torch.inference_mode():
        empty, noise = empty_latent(name, shape), noise_for(name, shape, 5)
        result = comfy.sample.sample(
            patcher, noise, 2, 1.0, "euler", "simple", positive, positive, empty, disable_pbar=True, seed=0
        )
        streams = result.unbind() if result.is_nested else [result]
        return torch.cat([stream.flatten() for stream in streams])


def noise_for(name: str, shape: tuple[int, ...], seed: int) -> Any:
    """Noise for `empty_latent`."""
    empty, generator = empty_latent(name, shape), torch.Generator().manual_seed(seed)
    drawn = [torch.randn(each.shape, generator=generator) for each in (empty.unbind() if empty.is_nested else [empty])]
    return comfy.nested_tensor.NestedTensor(drawn) if empty.is_nested else drawn[0]


def load_vae(name: str) -> Any:
    """A VAE object of ComfyUI around a random network. Those whose sizes detection fixes are put in afterwards."""
    with torch.inference_mode():
        network = _vae_network(name)
        randomise(network)
        network.eval()
        if name in ("wan", "wan_thin"):
            return comfy.sd.VAE(sd=dict(network.state_dict()))
        if name == "h3":
            with _narrow_h3():
                return comfy.sd.VAE(sd=dict(network.state_dict()))
        channels, axes, stride = {"sd": (4, 2, 8), "flux": (16, 2, 8), "hv": (16, 3, 8), "wan22": (48, 3, 16)}[name]
        vae = load_vae("wan")
        vae.first_stage_model = network
        vae.latent_channels, vae.latent_dim = channels, axes
        vae.memory_used_encode = vae.memory_used_decode = lambda shape, dtype: 1_000_000
        if axes == 2:
            vae.downscale_ratio = vae.upscale_ratio = stride
        else:
            vae.downscale_ratio = (vae.downscale_ratio[0], stride, stride)
            vae.upscale_ratio = (vae.upscale_ratio[0], stride, stride)
        vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, torch.device("cpu"))
        return vae


@contextmanager
def _narrow_h3() -> Generator[None]:
    """In it ComfyUI, which takes MiniMax H3's VAE for one of full size, builds a narrow one."""
    module = comfy.ldm.minimax.vae
    before = module.MiniMaxH3VideoVAE, module.ViT3DDecoder
    try:
        module.MiniMaxH3VideoVAE = partial(before[0], ch=32, num_res_blocks=1)
        module.ViT3DDecoder = partial(before[1], num_layers=1, heads=1)
        yield
    finally:
        module.MiniMaxH3VideoVAE, module.ViT3DDecoder = before


def _vae_network(name: str) -> torch.nn.Module:
    if name == "h3":
        with _narrow_h3():
            return comfy.ldm.minimax.vae.MiniMaxH3VideoVAE()
    if name in ("wan", "wan_thin", "wan22"):
        older = name != "wan22"
        kind = comfy.ldm.wan.vae.WanVAE if older else comfy.ldm.wan.vae2_2.WanVAE
        # The thin one encodes a megapixel in seconds.
        return kind(
            dim=4 if name == "wan_thin" else 16, z_dim=16 if older else 48, dim_mult=[1, 2, 4, 4],
            num_res_blocks=1 + older, attn_scales=[], temperal_downsample=[False, True, True], dropout=0.0,
        )  # fmt: skip
    channels = 4 if name == "sd" else 16
    config = {
        "double_z": True, "z_channels": channels, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2, 2, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
        **({"conv3d": True, "time_compress": 4} if name == "hv" else {}),
    }  # fmt: skip
    return comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=config, embed_dim=channels)


def load_clip(name: str) -> Any:
    """ComfyUI's CLIP with the real tokenizer and two layers of random weights."""
    if name not in _clips:
        small = {"num_hidden_layers": 3, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1}
        target = comfy.supported_models_base.ClipTarget(
            *{
                "sd15": (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel),
                "sdxl": (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
            }[name]
        )
        options = {"clip_l_model_config": small, "clip_g_model_config": {**small, "hidden_size": 128}}
        with torch.inference_mode():
            clip = comfy.sd.CLIP(target, model_options=options)
            randomise(clip.cond_stage_model)
        _clips[name] = clip
    return _clips[name]
