"""WAN's image-to-video models, small and random: given what ComfyUI's own nodes give them, trained right."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.image_conditioning import FIRST_AND_LAST, FRAMES, IMAGE, keep_first_frame, prepend_mask
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.image_to_video import to_conditioning
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_clip
from maskloss.core.video.clips import VideoSettings, clips_of
from maskloss.core.video.reader import probe
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, check_gradients
from tiny_comfy.passes import passes

import comfy.samplers  # isort: skip

pytestmark = pytest.mark.comfy

NAMES = ("wan_i2v", "wan22_i2v")


def text(seed: int = 0) -> dict[str, torch.Tensor]:
    """A caption as ComfyUI's text encoder gives it to WAN."""
    own = tiny.text_for("wan", length=20, seed=seed)["cross_attn"]
    return {"cross_attn": torch.nn.functional.pad(own, (0, 0, 0, 512 - own.shape[1]))}


def shown(seed: int, frames: int = 3, learnt: int | None = None) -> dict[str, torch.Tensor]:
    """Random raw latents where frames are given; `learnt` is the one that is not, None: all but the first."""
    latents = torch.randn(1, 16, frames, 8, 12, generator=torch.Generator().manual_seed(seed))
    return {
        IMAGE: prepend_mask(latents, [frame == 0 if learnt is None else frame != learnt for frame in range(frames)])
    }


def inputs(batch: int, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    clean, noise = (torch.randn(batch, 16, frames, 8, 12, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.3, 0.7, batch)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_given_what_comfyuis_own_nodes_and_sampler_give(name: str) -> None:
    """One Euler step from the middle to the end with WanImageToVideo's conditioning, and the same by the denoiser."""
    model, vae, sigma = tiny.load_model(name), tiny.load_vae("wan"), 0.5
    picture = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))
    raw = torch.randn(1, 16, 3, 8, 12, generator=torch.Generator().manual_seed(2))
    noise = torch.randn(raw.shape, generator=torch.Generator().manual_seed(3))
    caption = text()
    seen: list[torch.Tensor] = []
    hook = model.model.diffusion_model.register_forward_hook(lambda _m, args, _output: seen.append(args[0].clone()))
    node = importlib.import_module("comfy_extras.nodes_wan").WanImageToVideo
    with torch.inference_mode():
        embedded = [[caption["cross_attn"], {}]]
        positive, _, _ = node.execute(embedded, embedded, vae, 96, 64, 9, 1, start_image=picture).result
        guider = comfy.samplers.CFGGuider(model)
        guider.inner_set_conds({"positive": positive})
        guider.set_cfg(1.0)
        sampler = comfy.samplers.sampler_object("euler")
        made = guider.sample(noise, raw, sampler, torch.tensor([sigma, 0.0]), disable_pbar=True, seed=0)
        expected = model.model.process_latent_in(made)
    hook.remove()
    clip = torch.cat([picture[:, None], torch.rand(1, 8, 64, 96, 3)], dim=1)
    latents = ComfyLatentEncoder(vae).encode(keep_first_frame(clip))
    given = {**caption, IMAGE: prepend_mask(latents, [True, False, False])}
    untouched = given[IMAGE].clone()
    with open_denoiser(model, caption) as denoiser, torch.no_grad():
        assert denoiser.image_channels == 20
        assert bool(denoiser.notes) == (name == "wan_i2v"), "only WAN 2.1's takes CLIP vision features"
        ours: list[torch.Tensor] = []
        hook = denoiser.module.register_forward_hook(lambda _m, args, _output: ours.append(args[0].clone()))
        clean = denoiser.normalise(raw)
        difference = denoiser.predict(clean, noise, torch.tensor([sigma]), [given], False)
        denoiser.predict(clean, noise, torch.tensor([sigma]), [given], False)
        hook.remove()
    assert ours[0].shape == seen[0].shape == (1, 36, 3, 8, 12)
    torch.testing.assert_close(ours[0], seen[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(clean - sigma * difference, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours[0], ours[1])
    assert torch.equal(given[IMAGE], untouched)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_fun_inp_is_given_what_its_own_node_gives(
    name: str, last: bool, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """By WanFunInpaintToVideo from the first frame, or from the first and the last, to the very bit."""
    model, vae, frames = tiny.load_model(name), tiny.load_vae("wan"), 9
    item = film(tmp_path, make_video, frames)
    encoder = ComfyLatentEncoder(vae, FIRST_AND_LAST if last else "")
    cache, _ = cache_latents(Dataset((item,)), encoder, tmp_path / "cache", CacheSettings(image_conditioning=True))
    own = cache.conditioning(cache.entries[0])
    (cut,) = clips_of(probe(item.media_path).times, item.settings.video)
    clip = torch.from_numpy(load_clip(item, cut, (96, 64)).rgb_THWC).float() / 255
    node = importlib.import_module("comfy_extras.nodes_wan").WanFunInpaintToVideo
    noise = torch.randn(1, 16, 3, 8, 12, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        embedded = [[text()["cross_attn"], {}]]
        ends = {"start_image": clip[:1], **({"end_image": clip[-1:]} if last else {})}
        positive, _, _ = node.execute(embedded, embedded, vae, 96, 64, frames, 1, **ends).result
        theirs = {key: value.clone() for key, value in positive[0][1].items()}
        wanted = model.model.concat_cond(noise=noise, device=noise.device, **theirs)
        given = to_conditioning(own)
        shown = model.model.concat_cond(noise=noise, device=noise.device, **given)
    assert wanted.shape == (1, 20, 3, 8, 12)
    assert torch.equal(shown, wanted)
    known = wanted[0, :4, :, 0, 0]
    assert known[:, 0].tolist() == [1, 1, 1, 1]
    assert known[:, 2].tolist() == [0, 0, 0, 1 if last else 0]
    with open_denoiser(model, text()) as denoiser, torch.no_grad():
        seen: list[torch.Tensor] = []
        hook = denoiser.module.register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone()))
        denoiser.predict(denoiser.normalise(noise), noise, torch.tensor([0.5]), [{**text(), **own}], False)
        hook.remove()
    assert torch.equal(seen[0][:, 16:], wanted)


def film(folder: Path, make_video: Callable[..., Path], count: int) -> DatasetItem:
    """A clip of noise."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (count, 64, 96, 3), dtype=np.uint8)
    path = make_video(folder / "film.mp4", list(frames))
    return DatasetItem("film", path, LoadSettings((96, 64), video=VideoSettings(target_frames=(count,))))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_samples_each_with_its_own_first_frame(name: str) -> None:
    given = [{**text(seed), **shown(seed)} for seed in range(3)]
    with open_denoiser(tiny.load_model(name), text()) as denoiser:
        assert passes(denoiser, inputs(3), given) == [3]
        clean, noise, t = inputs(1)
        with torch.no_grad():
            one, other = (denoiser.predict(clean, noise, t, [{**text(), **shown(seed)}], False) for seed in (0, 1))
        assert not torch.allclose(one, other, atol=1e-3), "the first frame acts"


def test_samples_whose_frames_are_numbered_differently_come_apart() -> None:
    numbered = [torch.tensor([0, 1]), torch.tensor([0, 9]), torch.tensor([0, 1])]
    given = [{**text(), **shown(seed, 2, learnt=1), FRAMES: numbers} for seed, numbers in enumerate(numbered)]
    with open_denoiser(tiny.load_model("wan22_i2v"), text()) as denoiser:
        assert passes(denoiser, inputs(3, 2), given) == [2, 1]


@pytest.mark.parametrize("indices", [(0, 1), (0, 9), (3, 4), (2, 5, 8)])
def test_frames_stand_where_their_numbers_say(indices: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as when the network is handed positions made for these very numbers."""
    given = {**text(), **shown(0, len(indices), learnt=1), FRAMES: torch.tensor(indices)}
    with open_denoiser(tiny.load_model("wan22_i2v"), text()) as denoiser, torch.no_grad():
        assert denoiser.can_place(indices)
        call = (*inputs(1, len(indices)),)
        told = denoiser.predict(*call, [given], False)
        counted = denoiser.predict(*call, [without_numbers(given)], False)
        network: Any = denoiser.module

        def explicit(t: int, h: int, w: int, **_: object) -> torch.Tensor:
            grid = torch.meshgrid(
                torch.tensor(indices).float(), torch.arange(h // 2).float(), torch.arange(w // 2).float(), indexing="ij"
            )
            return network.rope_embedder(torch.stack(grid, dim=-1).reshape(1, -1, 3)).movedim(1, 2)

        monkeypatch.setattr(network, "rope_encode", explicit, raising=False)
        torch.testing.assert_close(told, denoiser.predict(*call, [without_numbers(given)], False), rtol=1e-5, atol=1e-5)
        assert torch.allclose(told, counted, atol=1e-4) == (indices in ((0, 1), (3, 4))), "positions are relative"


def without_numbers(given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in given.items() if name != FRAMES}


def test_frames_that_cannot_be_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_denoiser(tiny.load_model("wan22_i2v"), text()) as denoiser:
        assert not denoiser.can_place((0, 1, 5))
        monkeypatch.setattr(denoiser.module, "rope_encode", lambda t, h, w: None, raising=False)
        assert denoiser.can_place((0, 1))
        assert not denoiser.can_place((0, 9)), "an older ComfyUI would count without a word"
    with open_denoiser(tiny.load_model("wan"), text()) as denoiser:
        assert denoiser.image_channels == 0
        assert not denoiser.can_place((0, 1))


def test_the_users_own_scale_of_width_and_height_stays() -> None:
    model = tiny.load_model("wan22_i2v")
    model.set_model_rope_options(2.0, 0.0, 1.0, 0.0, 7.0, 1.0)
    given = {**text(), **shown(0, 2, learnt=1), FRAMES: torch.tensor([0, 9])}
    options: list[dict[str, float]] = []
    with open_denoiser(model, text()) as denoiser, torch.no_grad():
        hook = denoiser.module.register_forward_pre_hook(
            lambda _m, _args, words: options.append(words["transformer_options"]["rope_options"]), with_kwargs=True
        )
        denoiser.predict(*inputs(1, 2), [given], False)
        hook.remove()
    assert {key: options[0][key] for key in ("scale_x", "scale_t", "shift_t")} == {
        "scale_x": 2.0, "scale_t": 9.0, "shift_t": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right(name: str) -> None:
    """Checkpointed equals plain, and both equal central differences, with first frames and with numbered frames."""
    given = [{**text(seed), **shown(seed, 2, learnt=1), FRAMES: torch.tensor([0, 9])} for seed in range(2)]
    with adapted(name, example=text()) as (denoiser, adapters):
        check_gradients(
            lambda checkpoint: denoiser.predict(*inputs(2, 2), given, checkpoint).square().mean(), denoiser, adapters
        )
