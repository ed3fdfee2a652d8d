"""One file per distinct caption, the empty one always among them, and nothing encoded twice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.inspection import prune_cache
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache, text_file_name
from maskloss.core.cache.text import _write_embeddings, cache_text
from maskloss.core.dataset.items import Dataset
from maskloss.core.demo.encoders import DemoTextEncoder
from maskloss.core.errors import CacheError

from .conftest import CountingTextEncoder


@pytest.fixture
def cache(tmp_path: Path, dataset: Dataset, encoder) -> LatentCache:
    return cache_latents(dataset, encoder, tmp_path / "cache")[0]


def test_each_caption_once_and_the_empty_one_always(cache: LatentCache, text_encoder) -> None:
    with_text, report = cache_text(cache, text_encoder)
    assert sorted(text_encoder.captions) == ["", "ohwx person"]
    assert report["counts"] == {"captions": 2, "without_caption": 1, "encoded": 2, "unchanged": 0}
    assert report["items"][1] == {"caption": "ohwx person", "state": "encoded", "used_by": ["a", "sub/b"]}
    expected = DemoTextEncoder().encode("ohwx person")["tokens"]
    assert torch.equal(with_text.text(with_text.entries[0])["tokens"], expected)
    assert torch.equal(with_text.empty_text()["tokens"], DemoTextEncoder().encode("")["tokens"])
    assert with_text.text_encoder == text_encoder.identity
    assert open_cache(cache.directory).fingerprint == with_text.fingerprint


def test_only_what_is_missing_is_encoded(cache: LatentCache, text_encoder, dataset: Dataset, encoder) -> None:
    cache_text(cache, text_encoder)
    text_encoder.captions = []
    cache_text(cache, text_encoder)
    assert text_encoder.captions == []
    changed = Dataset((replace(dataset.items[0], caption="new"), *dataset.items[1:]))
    again = cache_latents(changed, encoder, cache.directory)[0]
    assert again.text_encoder == text_encoder.identity, "caching latents keeps the text that is there"
    with pytest.raises(CacheError, match="holds no text for the caption 'new'; run CacheText again"):
        again.text(again.entries[0])
    assert cache_text(again, text_encoder)[0].text(again.entries[0])
    assert text_encoder.captions == ["new"]


def test_another_encoder_encodes_everything_again(cache: LatentCache, text_encoder) -> None:
    first = cache_text(cache, text_encoder)[0]
    text_encoder.identity, text_encoder.captions = "other", []
    second = cache_text(first, text_encoder)[0]
    assert sorted(text_encoder.captions) == ["", "ohwx person"]
    assert second.fingerprint != first.fingerprint


def test_captions_without_text_are_known(cache: LatentCache, text_encoder) -> None:
    assert cache.missing_captions() == ("", "ohwx person")
    with_text = cache_text(cache, text_encoder)[0]
    assert with_text.missing_captions() == ()
    (cache.directory / text_file_name(text_encoder.identity, "")).unlink()
    assert with_text.missing_captions() == ("",)


def test_two_datasets_in_one_directory_are_told_apart(cache: LatentCache, text_encoder, dataset, encoder) -> None:
    # Otherwise the text would be that of the first and the cache that comes back the second.
    cache_latents(Dataset(dataset.items[:1]), encoder, cache.directory)
    with pytest.raises(CacheError, match=r"filled anew since it was opened.* a cache_directory of its own"):
        cache_text(cache, text_encoder)
    assert text_encoder.captions == []


def test_without_text_it_says_what_to_run(cache: LatentCache) -> None:
    with pytest.raises(CacheError, match="holds no text; run CacheText on it"):
        cache.text(cache.entries[0])
    with pytest.raises(CacheError, match="holds no text"):
        cache.empty_text()


def test_a_damaged_file_is_named_and_made_again(cache: LatentCache, text_encoder) -> None:
    with_text = cache_text(cache, text_encoder)[0]
    for path in (cache.directory / "text").iterdir():
        path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CacheError, match=r"text/\w+\.safetensors cannot be used"):
        with_text.empty_text()
    text_encoder.captions = []
    assert cache_text(with_text, text_encoder)[1]["counts"]["encoded"] == 2
    assert with_text.empty_text()


def test_text_is_no_orphan_of_the_latents(cache: LatentCache, text_encoder, dataset: Dataset, encoder) -> None:
    cache_text(cache, text_encoder)
    assert cache_latents(dataset, encoder, cache.directory)[1]["orphans"] == []


def test_values_that_are_not_finite_are_refused_and_nothing_is_written(cache: LatentCache) -> None:
    class NotFinite(DemoTextEncoder):
        def encode(self, caption: str) -> dict[str, torch.Tensor]:
            return {"tokens": super().encode(caption)["tokens"] / 0}

    with pytest.raises(CacheError, match=r"values that are not finite for the caption '' \(tokens\)"):
        cache_text(cache, NotFinite())
    assert not (cache.directory / "text").exists()


PAIRS = (("ohwx", "woman"),)


def test_captions_with_the_class_noun_are_cached_beside_and_kept(cache: LatentCache, text_encoder) -> None:
    plain = cache_text(cache, text_encoder)[0]
    assert not plain.has_text("woman person")
    text_encoder.captions = []
    cached, report = cache_text(plain, text_encoder, triggers=PAIRS)
    assert text_encoder.captions == ["woman person"]
    assert report["counts"] == {
        "captions": 3, "without_caption": 1, "class_captions": 1, "encoded": 1, "unchanged": 2,
    }  # fmt: skip
    assert report["items"][2] == {"caption": "woman person", "state": "encoded", "used_by": ["a", "sub/b"]}
    assert cached.has_text("woman person")
    assert cached.fingerprint == plain.fingerprint
    assert prune_cache(cache.directory).ours == (), "it is of use as long as the caption is there that it is made of"
    changed = cache.directory / text_file_name(text_encoder.identity, "woman person")
    other = CountingTextEncoder()
    _write_embeddings(changed, other.encode("woman person"), "woman person", other.identity, ["gone"])
    assert len(prune_cache(cache.directory).ours) == 1


def test_a_trigger_that_no_caption_has_is_warned_of(cache: LatentCache, text_encoder, caplog) -> None:
    report = cache_text(cache, text_encoder, triggers=(("xyz", "woman"),))[1]
    assert report["counts"]["class_captions"] == 0
    assert "No caption has the trigger xyz" in caplog.text
