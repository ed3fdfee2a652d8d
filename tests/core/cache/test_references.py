"""Control images as references of edit models: cached, kept, renewed, cut, refused where they are missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.encoders import SHOWN
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.inspection import inspect_cache
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.references import REFERENCE, check_references, load_pictures, plan_references
from maskloss.core.cache.store import open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import CacheError, DatasetError, ImageError, SettingError
from maskloss.core.images import load_image
from maskloss.core.resample import fit_image
from maskloss.core.tensor_files import write_tensors
from safetensors import safe_open

from .conftest import SETTINGS, CountingEncoder, CountingTextEncoder
from .test_latents_of_clips import states

Make = Callable[..., DatasetItem]
HALF = np.repeat(np.array([[255, 0]], np.uint8), 20, axis=1).repeat(40, axis=0)


@pytest.fixture
def edited(item: Make) -> DatasetItem:
    """A photograph with a mask, a control image of its size, and a wide one."""
    first, second = item("first", 7), item("second", 8, size=(80, 40))
    own = item("a", 0, mask=HALF, caption="ohwx")
    return replace(own, control_path=first.media_path, more_controls=(second.media_path,), wants_control=True)


def test_each_control_image_has_a_latent_of_its_own_size(tmp_path: Path, edited: DatasetItem, encoder) -> None:
    cache, report = cache_latents(Dataset((edited,)), encoder, tmp_path / "cache")
    (entry,) = cache.entries
    assert entry.references == 2
    assert [source.path for source in entry.control_sources] == list(edited.controls)
    given = cache.references(entry)
    assert list(given) == [f"{REFERENCE}0", f"{REFERENCE}1"]
    assert [tuple(value.shape) for value in given.values()] == [(1, 16, 1, 8, 8), (1, 16, 1, 6, 10)]
    own = cache_latents(Dataset((DatasetItem("c", edited.controls[0], SETTINGS),)), encoder, tmp_path / "own")[0]
    assert torch.equal(given[f"{REFERENCE}0"][0], own.latent(own.entries[0]))
    with safe_open(tmp_path / "cache" / entry.file, "pt") as file:
        keys = set(file.keys())
    assert {"latents_control_0_1x8x8_float32", "latents_control_1_1x6x10_float32"} <= keys
    again = open_cache(tmp_path / "cache")
    assert again.entries[0] == entry
    assert all(torch.equal(value, given[name]) for name, value in again.references(again.entries[0]).items())
    assert states(report) == {"a": "encoded"}
    plain, _ = cache_latents(Dataset((replace(edited, control_path=None, more_controls=(), wants_control=False),)),
                             encoder, tmp_path / "plain")  # fmt: skip
    assert plain.references(plain.entries[0]) == {}
    assert plain.fingerprint != cache.fingerprint
    assert torch.equal(plain.latent(plain.entries[0]), cache.latent(entry))


def test_what_is_there_is_kept_and_what_changed_is_made_again(
    tmp_path: Path, edited: DatasetItem, item: Make, encoder: CountingEncoder
) -> None:
    dataset, directory = Dataset((edited,)), tmp_path / "cache"
    first, _ = cache_latents(dataset, encoder, directory)
    before = first.references(first.entries[0])
    assert states(cache_latents(dataset, encoder, directory)[1]) == {"a": "unchanged"}
    calls = len(encoder.batches)
    item("a", 0, mask=255 - HALF, caption="ohwx")
    masked, report = cache_latents(dataset, encoder, directory)
    assert states(report) == {"a": "weights rewritten"}
    assert len(encoder.batches) == calls, "no picture is encoded again for a mask"
    kept = masked.references(masked.entries[0])
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    item("second", 9, size=(80, 40))
    (stale,) = open_cache(directory).stale_entries
    assert "control_1" in stale.reason
    changed, report = cache_latents(dataset, encoder, directory)
    assert states(report) == {"a": "encoded"}
    now = changed.references(changed.entries[0])
    assert torch.equal(now[f"{REFERENCE}0"], before[f"{REFERENCE}0"])
    assert not torch.equal(now[f"{REFERENCE}1"], before[f"{REFERENCE}1"])
    fewer = replace(edited, more_controls=())
    report = cache_latents(Dataset((fewer,)), encoder, directory)[1]
    assert states(report) == {"a": "encoded"}
    assert open_cache(directory).entries[0].references == 1


def test_an_order_of_control_images_is_part_of_the_fingerprint(tmp_path: Path, edited: DatasetItem, encoder) -> None:
    one, other = edited.controls
    turned = replace(edited, control_path=other, more_controls=(one,))
    first, second = (cache_latents(Dataset((each,)), encoder, tmp_path / str(n))[0] for n, each in
                     enumerate((edited, turned)))  # fmt: skip
    assert first.fingerprint != second.fingerprint


def test_photographs_without_a_control_image_are_named(
    tmp_path: Path, edited: DatasetItem, item: Make, encoder
) -> None:
    bare = replace(item("bare", 3), wants_control=True)
    with pytest.raises(DatasetError, match="1 of 2 photographs have no control image: bare"):
        cache_latents(Dataset((edited, bare)), encoder, tmp_path / "cache")
    mixed = Dataset((edited, replace(bare, wants_control=False)))
    cache, _ = cache_latents(mixed, encoder, tmp_path / "cache")
    assert [entry.references for entry in cache.entries] == [2, 0], "of a dataset that has none"
    cache_latents(Dataset((bare,)), encoder, tmp_path / "frames", CacheSettings(one_frame=OneFrame()))


def test_what_cannot_be_is_refused_by_name(tmp_path: Path, edited: DatasetItem, encoder) -> None:
    with pytest.raises(SettingError, match="a has 2 control images, and one_frame takes one"):
        cache_latents(Dataset((edited,)), encoder, tmp_path / "frames", CacheSettings(one_frame=OneFrame()))
    film = replace(edited, media_path=tmp_path / "film.mp4", mask_path=None)
    with pytest.raises(SettingError, match="a is a video with a control image"):
        check_references(film, one_frame=False)
    odd = replace(edited, settings=replace(SETTINGS, resolution=(60, 60), enable_bucket=False))
    with pytest.raises(SettingError, match="multiples of 8 px"):
        plan_references(odd, None, (40, 40), (64, 64), 8)


def test_a_crop_shows_the_same_part_of_the_first_and_all_of_the_others(
    tmp_path: Path, edited: DatasetItem, encoder
) -> None:
    cut = Rectangle(0, 0, 20, 20)
    face = replace(edited, name="a~face", crop=Crop(CropKind.FACE, cut))
    cache, _ = cache_latents(Dataset((face,)), encoder, tmp_path / "cache")
    given = cache.references(cache.entries[0])
    part = fit_image(load_image(edited.controls[0])[0][:20, :20], (64, 64))
    expected = DemoLatentEncoder().encode(torch.from_numpy(part.copy())[None, None].float() / 255)
    assert torch.equal(given[f"{REFERENCE}0"], expected)
    assert given[f"{REFERENCE}1"].shape == (1, 16, 1, 6, 10)
    odd = replace(face, control_path=edited.controls[1], more_controls=())
    with pytest.raises(ImageError, match="80x40 and the photograph of the crop a~face 40x40"):
        cache_latents(Dataset((odd,)), encoder, tmp_path / "odd")


def test_a_model_is_tried_with_the_references(tmp_path: Path, edited: DatasetItem, item: Make, encoder) -> None:
    dataset = Dataset((item("0", 4, caption="x"), edited))
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    cache, _ = cache_text(cache, CountingTextEncoder())
    assert {f"{REFERENCE}0", f"{REFERENCE}1"} < cache.example_text().keys()


def test_a_damaged_file_is_found(tmp_path: Path, edited: DatasetItem, encoder) -> None:
    cache, _ = cache_latents(Dataset((edited,)), encoder, tmp_path / "cache")
    entry = replace(cache.entries[0], references=3)
    with pytest.raises(CacheError, match="latents of 2 control images instead of 3"):
        cache.references(entry)


def test_qwen_images_go_to_musubi_tuner_with_their_control_images(tmp_path: Path, edited: DatasetItem) -> None:
    class Qwen(DemoLatentEncoder):
        architecture = "qi"

    cache, _ = cache_latents(Dataset((edited,)), Qwen(), tmp_path / "cache")
    report = export_reference(cache, tmp_path / "out")
    assert any("as Qwen-Image-Edit's" in text for text in report["messages"])
    with safe_open(tmp_path / "out" / report["items"][0]["file"], "pt") as file:
        stored = file.get_tensor("latents_control_1_1x6x10_float32")
    own = cache.references(cache.entries[0])[f"{REFERENCE}1"][0]
    assert not torch.allclose(stored, own), "normalised, as musubi-tuner keeps them"
    back = open_cache(tmp_path / "out")
    assert [entry.references for entry in back.entries] == [2]
    for name, value in back.references(back.entries[0]).items():
        torch.testing.assert_close(value, cache.references(cache.entries[0])[name], rtol=1e-5, atol=1e-5)
    for name in ("one", "other"):
        tensors, said = {"varlen_vl_embed_float32": torch.ones(3, 4)}, {"architecture": "qwen_image", "caption1": "x"}
        write_tensors(tmp_path / f"out/{name}_qi_te.safetensors", tensors, said)
        file = tmp_path / "out" / report["items"][0]["file"]
        (tmp_path / f"out/{name}_0040x0040_qi.safetensors").write_bytes(file.read_bytes())
    with pytest.raises(CacheError, match="embed the same caption beside different control images"):
        open_cache(tmp_path / "out")


class Shown(CountingTextEncoder):
    """A text encoder that sees pictures: the mean of each goes into its tokens."""

    shown_identity = f"demo-plus{SHOWN}"

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[tuple[str, list[tuple[int, ...]]]] = []

    def encode_shown(self, caption: str, pictures: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        self.beside.append((caption, [picture.shape for picture in pictures]))
        own = super().encode(caption)
        return {name: value + sum(float(picture.mean()) for picture in pictures) for name, value in own.items()}


def test_a_text_encoder_that_sees_pictures_is_shown_them(tmp_path: Path, edited: DatasetItem, item: Make) -> None:
    other = replace(edited, name="other", more_controls=())
    bare = item("bare", 3, caption="ohwx")
    cache, _ = cache_latents(Dataset((edited, other, bare)), CountingEncoder(), tmp_path / "cache")
    encoder = Shown()
    cache, report = cache_text(cache, encoder)
    assert encoder.captions[:1] == [""]
    assert sorted(encoder.beside) == [
        ("", [(40, 40, 3)]), ("", [(40, 40, 3), (40, 80, 3)]), ("ohwx", [(40, 40, 3)]),
        ("ohwx", [(40, 40, 3), (40, 80, 3)]),
    ]  # fmt: skip
    assert report["counts"] == {
        "captions": 6, "without_caption": 0, "with_pictures": 4, "encoded": 6, "unchanged": 0,
    }  # fmt: skip
    texts = {entry.name: cache.text(entry)["tokens"] for entry in cache.entries}
    assert not torch.equal(texts["a"], texts["other"])
    assert torch.equal(texts["bare"], CountingTextEncoder().encode("ohwx")["tokens"])
    empty = cache.caption_text("", cache.entries[0])["tokens"]
    assert not torch.equal(empty, cache.empty_text()["tokens"])
    assert cache.missing_captions() == ()
    again = Shown()
    assert cache_text(open_cache(tmp_path / "cache"), again)[1]["counts"]["unchanged"] == 6
    assert not again.beside
    assert inspect_cache(tmp_path / "cache").unused_text == ()
    plain, _ = cache_text(cache, CountingTextEncoder())
    assert torch.equal(plain.text(plain.entries[0])["tokens"], texts["bare"])
    assert plain.fingerprint != cache.fingerprint


def test_a_control_image_that_changed_renews_its_text_alone(tmp_path: Path, edited: DatasetItem, item: Make) -> None:
    other = replace(edited, name="other", more_controls=())
    dataset = Dataset((edited, other))
    cache_text(cache_latents(dataset, CountingEncoder(), tmp_path / "cache")[0], Shown())
    item("second", 11, size=(80, 40))
    cache, _ = cache_latents(dataset, CountingEncoder(), tmp_path / "cache")
    assert set(cache.missing_captions()) == {"ohwx", ""}
    encoder = Shown()
    cache_text(cache, encoder)
    assert sorted(caption for caption, _ in encoder.beside) == ["", "ohwx"]


def test_a_crop_is_shown_with_its_own_part_of_the_first(tmp_path: Path, edited: DatasetItem) -> None:
    face = replace(edited, name="a~face", crop=Crop(CropKind.FACE, Rectangle(0, 0, 20, 20)))
    cache, _ = cache_latents(Dataset((face,)), CountingEncoder(), tmp_path / "cache")
    first, second = load_pictures(cache.entries[0])
    assert np.array_equal(first, load_image(edited.controls[0])[0][:20, :20])
    assert second.shape == (40, 80, 3)
