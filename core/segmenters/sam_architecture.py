"""A segment-anything model built to fit its checkpoint: sizes are read off the tensors, never off the file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ..errors import UserError

# Neither can be read off a checkpoint; every SAM has these.
_DECODER_HEADS = 8
_PIXEL_MEAN, _PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamSizes:
    """What `build_sam` needs to know. Sides are in pixels, `grid` and `window` in patches."""

    width: int
    depth: int
    heads: int
    patch_px: int
    grid: int
    window: int
    global_blocks: tuple[int, ...]
    prompt_width: int
    mask_width: int
    decoder_depth: int
    decoder_mlp: int
    masks: int
    score_width: int
    score_depth: int


_MARK = "image_encoder.patch_embed.proj.weight"
# What tells the models that came after it: a piece of a tensor's name that no other has.
_RELATIVES = (
    ("mask_decoder.hf_token", "SAM-HQ"),
    ("sam_mask_decoder.", "SAM 2"),
    ("image_encoder.trunk.", "SAM 2"),
    ("image_encoder.layers.", "MobileSAM"),
    ("detector.backbone.", "SAM 3"),
    ("vision_encoder.layers.", "SAM in the form of transformers"),
)


def without_prefix(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under the names that segment-anything gives them: what programs put before these (`module.`,
    `sam_model.`, `_orig_mod.`) is taken off, and what is not under the same prefix is no part of the model."""
    prefix = next((name.removesuffix(_MARK) for name in state if name.endswith(_MARK)), "")
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def relative_of(state: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the model these tensors are of when it is a known one that is not segment-anything 1."""
    return next((name for mark, name in _RELATIVES if any(mark in each for each in state)), None)


def read_sizes(state: Mapping[str, torch.Tensor]) -> SamSizes:
    """Raises UserError when the tensors are not those of a segment-anything 1 model."""
    try:
        blocks = _count(state, "image_encoder.blocks.{}.norm1.weight")
        rows = [state[f"image_encoder.blocks.{block}.attn.rel_pos_h"].shape[0] for block in range(blocks)]
        width = state["image_encoder.pos_embed"].shape[3]
        grid = state["image_encoder.pos_embed"].shape[1]
        windows = {(count + 1) // 2 for count in rows} - {grid}
        return SamSizes(
            width=width,
            depth=blocks,
            heads=width // state["image_encoder.blocks.0.attn.rel_pos_h"].shape[1],
            patch_px=state["image_encoder.patch_embed.proj.weight"].shape[2],
            grid=grid,
            window=max(windows, default=grid),
            global_blocks=tuple(block for block, count in enumerate(rows) if (count + 1) // 2 == grid),
            prompt_width=state["prompt_encoder.no_mask_embed.weight"].shape[1],
            mask_width=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            decoder_depth=_count(state, "mask_decoder.transformer.layers.{}.norm1.weight"),
            decoder_mlp=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            masks=state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            score_width=state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
            score_depth=_count(state, "mask_decoder.iou_prediction_head.layers.{}.weight"),
        )
    except (KeyError, IndexError) as error:
        raise UserError(
            f"it is not a segment-anything 1 checkpoint (vit_b, vit_l, vit_h): {error} is missing"
        ) from error


def build_sam(sizes: SamSizes, state: Mapping[str, torch.Tensor]) -> Any:
    """The `Sam` with these weights, float32 on the CPU.

    Raises UserError when a tensor is missing, foreign or of another shape, ImportError when segment_anything (or
    torchvision, which it needs) is not there.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    side_px = sizes.grid * sizes.patch_px
    norm: Any = partial(torch.nn.LayerNorm, eps=1e-6)
    # On the meta device nothing is allocated or drawn at random; the checkpoint's own tensors move in.
    with torch.inference_mode(False), torch.device("meta"):
        sam = Sam(
            ImageEncoderViT(
                img_size=side_px,
                patch_size=sizes.patch_px,
                embed_dim=sizes.width,
                depth=sizes.depth,
                num_heads=sizes.heads,
                out_chans=sizes.prompt_width,
                norm_layer=norm,
                use_rel_pos=True,
                window_size=sizes.window,
                global_attn_indexes=sizes.global_blocks,
            ),
            PromptEncoder(sizes.prompt_width, (sizes.grid, sizes.grid), (side_px, side_px), sizes.mask_width),
            MaskDecoder(
                transformer_dim=sizes.prompt_width,
                transformer=TwoWayTransformer(
                    sizes.decoder_depth, sizes.prompt_width, _DECODER_HEADS, sizes.decoder_mlp
                ),
                num_multimask_outputs=sizes.masks,
                iou_head_depth=sizes.score_depth,
                iou_head_hidden_dim=sizes.score_width,
            ),
        )
    try:
        sam.load_state_dict({name: value.float() for name, value in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise UserError(f"it is not a segment-anything 1 checkpoint: {' '.join(str(error).split())[:300]}") from error
    sam.pixel_mean = torch.tensor(_PIXEL_MEAN).view(-1, 1, 1)
    sam.pixel_std = torch.tensor(_PIXEL_STD).view(-1, 1, 1)
    return sam.eval().requires_grad_(False)


def _count(state: Mapping[str, torch.Tensor], name: str) -> int:
    """How many of `name` there are, numbered from 0. KeyError when there is none."""
    count = 0
    while name.format(count) in state:
        count += 1
    if not count:
        raise KeyError(name.format(0))
    return count
