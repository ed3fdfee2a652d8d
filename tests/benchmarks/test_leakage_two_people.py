"""Two people in one LoRA: what the items hold, what scores say of made pictures, what the attention term does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.leakage import scores
from benchmarks.leakage.album import ALBUMS, PEOPLE, SECOND, Items, album_cache, draw_album
from benchmarks.leakage.attention import attention_to_word, on_tokens, recorded_queries_and_keys
from benchmarks.leakage.base import BaseConfig, load_base
from benchmarks.leakage.experiment import Laboratory, Setup
from benchmarks.leakage.two_people import csv_of, prompts_of, score_album, table_of, train_album
from benchmarks.leakage.world import NEW, SUBJECTS, Scene, render_scene

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = BaseConfig(width=32, depth=2, heads=2, steps=3, batch=4)
SHORT = Setup(steps=4, batch=2, rank=2, sampler_steps=2)
BY_NAME = {album.name: album for album in ALBUMS}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    directory: Path = tmp_path_factory.mktemp("leakage")
    return Laboratory(load_base(TINY, directory, lambda _: None), TINY.identity, SHORT)


def test_both_are_on_every_photograph_and_each_is_the_nearer_one_in_half_of_them() -> None:
    scenes = draw_album(2)
    assert all({scene.subject, scene.bystander} == set(PEOPLE) for scene in scenes)
    assert sum(scene.subject is NEW for scene in scenes) == len(scenes) / 2
    assert all(scene.place != scene.bystander_place for scene in scenes)
    assert {(scene.subject.name, scene.size) for scene in scenes} == {
        (each.name, size) for each in PEOPLE for size in ("far", "near")
    }


def test_items_of_each_share_no_cell_but_at_an_edge_and_add_up_to_the_group() -> None:
    group, each = album_cache(3, Items.GROUP), album_cache(3, Items.EACH)
    both = album_cache(3, Items.EACH_AND_GROUP)
    assert (len(group.entries), len(each.entries), len(both.entries)) == (12, 24, 36)
    for index, entry in enumerate(group.entries):
        first, second = (each.masks[own.name] for own in each.entries[2 * index : 2 * index + 2])
        torch.testing.assert_close(first + second, group.masks[entry.name])
        assert torch.equal(group.latents[entry.name], each.latents[each.entries[2 * index].name])
        names = [own.caption.split()[0] for own in each.entries[2 * index : 2 * index + 2]]
        assert entry.caption.split()[0] == names[0]
        assert entry.caption.endswith(f"with_{names[1]}")


@pytest.mark.parametrize("subject", PEOPLE, ids=lambda each: each.name)
def test_a_drawing_of_either_fits_her_and_not_the_other(subject) -> None:
    other = PEOPLE[1 - PEOPLE.index(subject)]
    prompts = prompts_of(subject)
    pictures = np.stack([render_scene(Scene(subject, each.size, each.place, each.background)) for each in prompts])
    assert scores.fit(pictures, prompts, subject, (*SUBJECTS, other)).mean() > 0.99
    assert scores.fit(pictures, prompts, other, (*SUBJECTS, subject)).mean() < 0.01
    near, far = (scores.part_distances(pictures, prompts, each) for each in (subject, other))
    assert (far > near).all()


@pytest.mark.parametrize("name", ["no mask", "each for herself, and both", "each for herself, attention 0.1"])
def test_a_contender_is_trained_and_scored(laboratory: Laboratory, name: str) -> None:
    lora = train_album(laboratory, BY_NAME[name], 1)
    assert any(float(value.abs().max()) > 0 for key, value in lora.items() if "lora_up" in key)
    values = score_album(laboratory, lora, 1)
    assert list(values) == ["own", "swapped", "other", "together", "bleed", "leak"]
    assert all(0 <= value <= 1 for value in values.values())


def test_without_weight_the_attention_term_leaves_the_packs_own_training(laboratory: Laboratory) -> None:
    plain = train_album(laboratory, BY_NAME["each for herself"], 1)
    unweighted = train_album(laboratory, replace(BY_NAME["each for herself"], attention=1e-30), 1)
    weighted = train_album(laboratory, BY_NAME["each for herself, attention 1"], 1)
    for key, value in plain.items():
        torch.testing.assert_close(unweighted[key], value, rtol=0, atol=1e-6)
    assert any(float((weighted[key] - value).abs().max()) > 1e-5 for key, value in plain.items())


def test_attention_to_a_word_is_a_softmax_over_words_by_heads() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, tokens, 4, generator=generator) for tokens in (5, 7))
    expected = torch.zeros(2, 5)
    for sample, head, token in np.ndindex(2, 3, 5):
        strengths = torch.exp(key[sample, head] @ query[sample, head, token] / 2)
        expected[sample, token] += strengths[6] / strengths.sum() / 3
    torch.testing.assert_close(attention_to_word(query, key, 6), expected)


def test_a_token_is_inside_by_how_much_of_it_has_weight() -> None:
    weights = torch.zeros(1, 1, 1, 4, 4)
    weights[..., 0, :2] = 0.3
    assert on_tokens(weights, 2).tolist() == [[0.5, 0.0, 0.0, 0.0]]


def test_queries_and_keys_are_those_of_the_forward_pass(laboratory: Laboratory) -> None:
    network = laboratory.denoiser.module
    entry = album_cache(0, Items.EACH).entries[0]
    latents = album_cache(0, Items.EACH).latents[entry.name][None]
    words = album_cache(0, Items.EACH).caption_text(entry.caption)["words"][None]
    with torch.no_grad(), recorded_queries_and_keys(laboratory.denoiser) as parts:
        network(latents, torch.tensor([0.5]), words)
    assert len(parts) == TINY.depth
    assert parts[0][0].shape == (1, 2, 64, 16)
    assert parts[0][1].shape == (1, 2, 7, 16)
    with torch.no_grad():
        network(latents, torch.tensor([0.5]), words)
    assert len(parts) == TINY.depth, "nothing listens any more"


def test_the_table_compares_with_each_for_herself() -> None:
    values = dict.fromkeys(("own", "swapped", "other", "together", "bleed", "leak"), 0.5)
    results = {
        "no mask": {seed: {**values, "own": 0.1 + seed / 100} for seed in range(4)},
        "each for herself": {seed: {**values, "own": 0.4 + seed / 100} for seed in range(4)},
    }
    table = table_of(results)
    assert "| no mask | 0.115 (**-0.300 [-0.300, -0.300]**) | 0.500 (+0.000 [+0.000, +0.000])" in table
    assert "| each for herself | 0.415 | 0.500 |" in table
    assert csv_of(results).splitlines()[1] == "no mask,0,0.1000,0.5000,0.5000,0.5000,0.5000,0.5000"
    assert SECOND.name == "yan"
