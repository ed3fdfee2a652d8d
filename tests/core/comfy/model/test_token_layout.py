"""Which cells make which token, against what ComfyUI's networks do with a latent of which one cell was changed."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from maskloss.core.autograd.tensors import tensors_in
from maskloss.core.comfy.model.architectures import repeated_blocks
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.token_layout import TokenLayout, token_layout
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import sample

pytestmark = pytest.mark.comfy

UNETS = ("sd15", "sd2", "sdxl", "sdxl_refiner")
TRANSFORMERS = tuple(name for name in tiny.EVERY_ARCHITECTURE if name not in UNETS)


@pytest.mark.parametrize("name", UNETS)
def test_a_unet_has_no_tokens(name: str) -> None:
    assert token_layout(tiny.load_model(name).model.diffusion_model) is None


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_changed_cell_changes_its_token_and_no_other(name: str) -> None:
    """In what the first block of the picture is given, before tokens are mixed; and none of the text's."""
    clean = sample(name, batch=1)[0]
    sides = clean.shape[2:]
    cells = torch.zeros(1, 1, *sides)
    cells[..., -1, sides[1] // 2 + 1, sides[2] - 1] = 1
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
        calls = zip(*(_given(denoiser, latent, name) for latent in (clean, clean + cells)), strict=True)
        layout = token_layout(denoiser.module)
    assert layout is not None
    differences = ([(a - b).abs().amax(-1).flatten(1) > 0 for a, b in zip(*call, strict=True)] for call in calls)
    (changed_BS,) = next(found for call in differences if (found := [rows for rows in call if rows.any()]))
    wanted_BS = torch.zeros_like(changed_BS)
    start = layout.start(changed_BS.shape[1], sides)
    wanted_BS[:, start : start + layout.count(sides)] = layout.most(cells) > 0
    assert torch.equal(changed_BS, wanted_BS)


def _given(denoiser: ComfyDenoiser, clean: torch.Tensor, name: str) -> list[list[torch.Tensor]]:
    """The tensors of at least three axes that each block is given, in the order in which they run."""
    given: list[list[torch.Tensor]] = []

    def record(_block: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        values = tensors_in([*args, *kwargs.values()])
        # MiniMax H3's have no axis of samples, of which it takes one at a time.
        values = [value[None] if value.ndim == 2 and name == "minimax_h3" else value for value in values]
        given.append([value.detach().clone() for value in values if value.ndim >= 3 and value.numel()])

    _, noise, t = sample(name, batch=1)
    with ExitStack() as hooks, torch.no_grad():
        for block in repeated_blocks(denoiser.module):
            hooks.callback(block.register_forward_pre_hook(record, with_kwargs=True).remove)
        denoiser.predict(clean, noise, t, [tiny.text_for(name)], False)
    return given


def test_patches_that_the_edge_cuts_off() -> None:
    layout = TokenLayout((1, 2, 2))
    weights = torch.zeros(2, 1, 1, 3, 5)
    weights[0, 0, 0, 2, 4], weights[1, 0, 0, 0, 1] = 0.5, 1.0
    assert layout.grid((1, 3, 5)) == (1, 2, 3)
    assert layout.most(weights).tolist() == [[0, 0, 0, 0, 0, 0.5], [1, 0, 0, 0, 0, 0]]
    assert layout.mean(weights).tolist() == [[0, 0, 0, 0, 0, 0.5], [0.25, 0, 0, 0, 0, 0]]
    spread = layout.cells(torch.arange(6.0)[None], (1, 3, 5))
    assert spread[0, 0, 0].tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_tokens_that_only_fill_up_stand_behind_the_picture() -> None:
    layout = TokenLayout((1, 2, 2), multiple=32)
    assert (layout.count((1, 8, 8)), layout.padded_count((1, 8, 8)), layout.start(64, (1, 8, 8))) == (16, 32, 32)
    assert TokenLayout((1, 2, 2), picture_first=True).start(64, (1, 8, 8)) == 0
