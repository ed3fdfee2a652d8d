"""What is said of control images before a run, and what a model is given of them."""

import dataclasses

import pytest
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.config import TrainConfig
from maskloss.core.train.references import check_reference_routing, reference_notes
from maskloss.core.train.window import load_conditioning

from .runs import SIZE


class EditModel(DemoDenoiser):
    takes_references = True


def entries(make_cache, *counts):
    cache = make_cache([(f"item{number}", SIZE, None) for number in range(len(counts))])
    return cache, [
        dataclasses.replace(entry, references=count) for entry, count in zip(cache.entries, counts, strict=True)
    ]


def test_a_model_of_text_alone_ignores_them_and_it_is_said(make_cache):
    _, shown = entries(make_cache, 1, 2)
    (note,) = reference_notes(DemoDenoiser(), shown)
    assert "control images of 2 items" in note
    assert reference_notes(EditModel(), shown) == []


def test_items_without_any_beside_others_are_named(make_cache):
    _, shown = entries(make_cache, 1, 0)
    (note,) = reference_notes(EditModel(), shown)
    assert "1 of 2 items have no control image" in note
    assert "item1" in note
    assert reference_notes(EditModel(), entries(make_cache, 0, 0)[1]) == []


def test_tokens_are_not_skipped_beside_references(make_cache):
    config = TrainConfig(background_tokens=0.5)
    _, shown = entries(make_cache, 1)
    with pytest.raises(TrainingError, match=r"set background_tokens to 1\.0"):
        check_reference_routing(EditModel(), shown, config)
    check_reference_routing(DemoDenoiser(), shown, config)
    check_reference_routing(EditModel(), entries(make_cache, 0)[1], config)
    check_reference_routing(EditModel(), shown, TrainConfig())


def test_only_an_edit_model_is_given_them(make_cache, monkeypatch):
    cache, (entry,) = entries(make_cache, 1)
    shown = {"reference_latents_0": cache.latent(entry)[None]}
    monkeypatch.setattr(type(cache), "references", lambda _cache, _entry: shown)
    text = cache.text(entry)
    assert load_conditioning(cache, entry, DemoDenoiser()).keys() == text.keys()
    assert load_conditioning(cache, entry, EditModel()).keys() == {*text, *shown}
    assert load_conditioning(cache, entry, EditModel(), "").keys() == {*text, *shown}, "without a caption, too"
