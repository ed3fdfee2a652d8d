"""Embeddings from the reference system's files, in the form of ComfyUI's encoders."""

from pathlib import Path

import pytest
import torch
from maskloss.core.cache.reference_files import ReferenceArchitecture
from maskloss.core.cache.reference_text import holds_embeddings, read_reference_text
from maskloss.core.errors import CacheError
from safetensors.torch import save_file

WAN, QWEN, HUNYUAN = (
    ReferenceArchitecture.WAN,
    ReferenceArchitecture.QWEN_IMAGE,
    ReferenceArchitecture.HUNYUAN_VIDEO,
)


def written(path: Path, **tensors: torch.Tensor) -> Path:
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("keys", "complete"),
    [
        (["varlen_t5_bfloat16"], {WAN}),
        (["varlen_vl_embed_float16"], {QWEN}),
        (["llm_float16", "llm_mask", "clipL_float16"], {HUNYUAN}),
        (["llm_mask", "clipL_float16"], set()),
        (["llm_float16", "llm_mask"], set()),
        ([], set()),
    ],
)
def test_a_file_is_complete_for_one_model(keys: list[str], complete: set[ReferenceArchitecture]) -> None:
    assert {model for model in ReferenceArchitecture if holds_embeddings(keys, model)} == complete


@pytest.mark.parametrize(("model", "key"), [(WAN, "varlen_t5_bfloat16"), (QWEN, "varlen_vl_embed_bfloat16")])
def test_tokens_become_cross_attention(tmp_path: Path, model: ReferenceArchitecture, key: str) -> None:
    tokens = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    text = read_reference_text(written(tmp_path / "a.safetensors", **{key: tokens}), model)
    assert text.keys() == {"cross_attn"}
    assert text["cross_attn"].dtype == torch.float32
    assert torch.equal(text["cross_attn"], tokens.float()[None])


def test_hunyuan_videos_padding_goes_and_its_pooled_text_comes_along(tmp_path: Path) -> None:
    tokens, pooled = torch.arange(12.0).reshape(6, 2), torch.tensor([1.0, 2.0, 3.0])
    mask = torch.tensor([1, 1, 0, 1, 0, 0])
    path = written(tmp_path / "a.safetensors", llm_float32=tokens, llm_mask=mask, clipL_float32=pooled)
    text = read_reference_text(path, HUNYUAN)
    assert torch.equal(text["cross_attn"], tokens[None, :4]), "what lies before the last real token stays"
    assert torch.equal(text["pooled_output"], pooled[None])


@pytest.mark.parametrize(
    ("model", "tensors", "message"),
    [
        (WAN, {"varlen_vl_embed_float32": torch.zeros(2, 3)}, "it holds no varlen_t5_"),
        (WAN, {"varlen_t5_float32": torch.zeros(1, 2, 3)}, "it holds no varlen_t5_"),
        (WAN, {"varlen_t5_float32": torch.zeros(0, 3)}, "it holds no varlen_t5_"),
        (WAN, {"varlen_t5_float32": torch.full((2, 3), float("nan"))}, "is not finite"),
        (HUNYUAN, {"llm_float32": torch.zeros(2, 3)}, "it holds no clipL_"),
        (
            HUNYUAN,
            {"llm_float32": torch.zeros(2, 3), "llm_mask": torch.zeros(2), "clipL_float32": torch.zeros(3)},
            "llm_mask that does not fit",
        ),
        (
            HUNYUAN,
            {"llm_float32": torch.zeros(2, 3), "llm_mask": torch.ones(3), "clipL_float32": torch.zeros(3)},
            "llm_mask that does not fit",
        ),
    ],
)
def test_what_does_not_fit_names_the_file(
    tmp_path: Path, model: ReferenceArchitecture, tensors: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(CacheError, match=message) as caught:
        read_reference_text(written(tmp_path / "odd.safetensors", **tensors), model)
    assert "odd.safetensors" in str(caught.value)
