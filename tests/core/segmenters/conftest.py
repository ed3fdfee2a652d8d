from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """These nets are so small that sharing them among threads takes longer than running them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny_sam() -> Any:
    """segment-anything's real modules at 64 pixels: two blocks, one of them windowed. Weights are random."""
    modeling = pytest.importorskip("segment_anything.modeling")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = modeling.ImageEncoderViT(
            img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=4, out_chans=32, use_rel_pos=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), window_size=3, global_attn_indexes=(1,),
        )  # fmt: skip
        prompts = modeling.PromptEncoder(32, (8, 8), (64, 64), 16)
        decoder = modeling.MaskDecoder(
            transformer_dim=32, transformer=modeling.TwoWayTransformer(2, 32, 8, 64), iou_head_hidden_dim=32
        )
        return modeling.Sam(encoder, prompts, decoder).eval()
