"""A few zeros in place of all that fill a caption up: the same attention, and the same gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.comfy.text.collapsed_padding import TextAttention, collapse_padding


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any = None) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class Layer(torch.nn.Module):
    """Attention to a text, as one head."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.k, self.v = torch.nn.Linear(12, 16), torch.nn.Linear(12, 16)
        self.to(dtype)

    def forward(self, query: torch.Tensor, text: torch.Tensor, apply: Any = None) -> torch.Tensor:
        key, value = self.k(text)[:, None], self.v(text)[:, None]
        return attention(query, key, value) if apply is None else apply(attention, query, key, value)


def small_texts(*own: int) -> torch.Tensor:
    texts = torch.randn(len(own), 40, 12, generator=torch.Generator().manual_seed(1))
    for text, length in zip(texts, own, strict=True):
        text[length:] = 0
    return texts


@pytest.mark.parametrize("own", [(5,), (0,), (7,), (8,), (31,), (5, 0, 22)])
def test_a_few_tokens_stand_for_all(own: tuple[int, ...]) -> None:
    texts, layer = small_texts(*own).double(), Layer(torch.float64)
    query = torch.randn(len(own), 1, 6, 16, dtype=torch.float64, requires_grad=True)
    left, padding = collapse_padding(texts, TextAttention(running=True))
    assert padding
    assert left.shape[1] == (max(own) // 8 + 1) * 8
    results = layer(query, texts), layer(query, left, padding.attention)
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    weights = torch.randn_like(results[0])
    wanted, found = (torch.autograd.grad((each * weights).sum(), [query, *layer.parameters()]) for each in results)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert torch.allclose(layer(query, left), results[0], atol=1e-3) == (own == (0,)), "the count acts"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("own", [1, 6, 11, 20, 27])
def test_it_is_as_exact_as_going_through_all(own: int, dtype: torch.dtype) -> None:
    texts, layer = small_texts(own).to(dtype), Layer(dtype)
    query = torch.randn(1, 1, 200, 16, generator=torch.Generator().manual_seed(2)).to(dtype)
    left, padding = collapse_padding(texts, TextAttention(running=True))
    assert padding
    truth = Layer(torch.float64)
    truth.load_state_dict(layer.state_dict())
    exact = truth(query.double(), texts.double())
    whole, counted = layer(query, texts), layer(query, left, padding.attention)
    assert (counted - exact).norm() < 1.2 * (whole - exact).norm()


def test_what_is_in_a_caption_is_not_cut() -> None:
    for texts in (small_texts(5, 32), small_texts(40), torch.ones(1, 40, 12)):
        left, padding = collapse_padding(texts, TextAttention())
        assert left is texts
        assert padding is None
    texts = small_texts(12)
    texts[:, 5:7] = 0
    left, _ = collapse_padding(texts, TextAttention())
    assert torch.equal(left, texts[:, :16]), "zeros within a caption are its own"


def test_only_attention_to_the_text_counts() -> None:
    texts, where = small_texts(5), TextAttention()
    left, padding = collapse_padding(texts, where)
    assert padding
    query = torch.randn(1, 1, left.shape[1], 16)
    seen: list[object] = []
    ask = lambda *args, mask=None: seen.append(mask)  # noqa: E731
    padding.attention(ask, query, query, query)
    where.enter()
    padding.attention(ask, query, query, query)
    padding.attention(ask, query, query[:, :, 1:], query[:, :, 1:])
    where.leave()
    padding.attention(ask, query, query, query)
    assert [mask is None for mask in seen] == [True, False, True, True]
    assert (where.ran, where.uncounted) == (True, False)
