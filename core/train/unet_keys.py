"""What diffusers calls the layers of Stable Diffusion's UNets, whose blocks it counts by level and not in a row.

A level of the UNet has `per_level` numbers: that many residual blocks and their attention, the last one the change of
size on the way down; on the way up one residual block each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

# Stable Diffusion 1, 2 and XL: two residual blocks and the change of size. Some distilled ones have fewer.
USUAL_PER_LEVEL = 3
_POSSIBLE = (USUAL_PER_LEVEL, 2, 4)
_RESIDUAL = {
    "in_layers.2": "conv1",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = (
    *(f"attn{number}.to_{part}" for number in (1, 2) for part in ("q", "k", "v", "out.0")),
    "ff.net.0.proj",
    "ff.net.2",
)
_OTHERS = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.2": "conv_out",
}
_BLOCK = re.compile(r"(?P<side>input_blocks|output_blocks)\.(?P<number>\d+)\.(?P<place>\d)\.(?P<rest>.+)")
_MIDDLE = re.compile(r"middle_block\.(?P<place>[012])\.(?P<rest>.+)")
_INSIDE = re.compile(rf"(proj_in|proj_out|transformer_blocks\.\d+\.({'|'.join(map(re.escape, _ATTENTION))}))")
_LEVELS, _DEEPEST = 4, 10


def blocks_per_level(modules: Collection[str]) -> int | None:
    """How many numbers a level has in the UNet with these modules; None where they fit no layout."""
    names = [found for module in modules if (found := _BLOCK.fullmatch(module)) and found["side"] == "input_blocks"]
    for per_level in _POSSIBLE:
        if all((int(found["number"]) % per_level == 0) == (found["rest"] == "op") for found in names):
            return per_level
    return None


def unet_name(module: str, per_level: int) -> str | None:
    """`input_blocks.4.1.proj_in` → `down_blocks.1.attentions.0.proj_in`; None for what is no layer of such a UNet."""
    if module in _OTHERS:
        return _OTHERS[module]
    if found := _MIDDLE.fullmatch(module):
        place = int(found["place"])
        return _within("mid_block", found["rest"], place // 2, 0)
    found = _BLOCK.fullmatch(module)
    if found is None:
        return None
    number, rest = int(found["number"]), found["rest"]
    if found["side"] == "input_blocks":
        level, index = divmod(number - 1, per_level)
        if rest == "op":
            return f"down_blocks.{level}.downsamplers.0.conv"
        return _within(f"down_blocks.{level}", rest, index, index)
    level, index = divmod(number, per_level)
    if rest == "conv":
        return f"up_blocks.{level}.upsamplers.0.conv"
    return _within(f"up_blocks.{level}", rest, index, index)


def unet_kernel(module: str, per_level: int, linear_projections: bool) -> tuple[int, ...]:
    """The kernel of a convolution of the UNet, () of a linear layer."""
    name = unet_name(module, per_level) or ""
    if name.endswith(("proj_in", "proj_out")):
        return () if linear_projections else (1, 1)
    if name.endswith(".conv_shortcut"):
        return (1, 1)
    return (3, 3) if name.rpartition(".")[2] in ("conv", "conv1", "conv2", "conv_in", "conv_out") else ()


def unet_modules() -> Iterator[str]:
    """Our names of every layer that a UNet of the usual layout may have."""
    yield from _OTHERS
    inside = (
        "proj_in", "proj_out",
        *(f"transformer_blocks.{depth}.{part}" for depth in range(_DEEPEST) for part in _ATTENTION),
    )  # fmt: skip
    for place in (0, 2):
        yield from (f"middle_block.{place}.{part}" for part in _RESIDUAL)
    yield from (f"middle_block.1.{part}" for part in inside)
    for number in range(_LEVELS * USUAL_PER_LEVEL):
        for side in ("input_blocks", "output_blocks"):
            if side == "input_blocks" and number % USUAL_PER_LEVEL == 0:
                yield f"input_blocks.{number}.0.op"
                continue
            yield from (f"{side}.{number}.0.{part}" for part in _RESIDUAL)
            yield from (f"{side}.{number}.1.{part}" for part in inside)
        # Where a level has no attention, the change of size is second in its block.
        yield from (f"output_blocks.{number}.{place}.conv" for place in (1, 2))


def _within(block: str, rest: str, residual: int, attention: int) -> str | None:
    if rest in _RESIDUAL:
        return f"{block}.resnets.{residual}.{_RESIDUAL[rest]}"
    return f"{block}.attentions.{attention}.{rest}" if _INSIDE.fullmatch(rest) else None
