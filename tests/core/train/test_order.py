import dataclasses
from collections import Counter

import pytest
from maskloss.core.errors import TrainingError
from maskloss.core.train.order import TrainingOrder, stream_seed

from .conftest import MemoryCache
from .runs import PLAIN, SIZE, Stop, Watcher, assert_same, distance, half

SHAPES = [(16, 1, 4, 4)] * 5 + [(16, 1, 4, 6)] * 3
REPEATS = [1, 2, 1, 1, 3, 1, 1, 2]


def epoch(order: TrainingOrder, number: int) -> list[tuple]:
    start = number * order.batches_per_epoch
    return [order.batch(position) for position in range(start, start + order.batches_per_epoch)]


def test_every_item_comes_as_often_as_it_repeats_in_each_epoch():
    order = TrainingOrder(SHAPES, REPEATS, batch_size=2, seed=0)
    for number in range(3):
        items = Counter(each.entry for batch in epoch(order, number) for each in batch)
        assert [items[index] for index in range(len(SHAPES))] == REPEATS
        assert all(each.epoch == number for batch in epoch(order, number) for each in batch)


def test_a_batch_has_one_shape_and_is_full_but_for_leftovers():
    batches = epoch(TrainingOrder(SHAPES, REPEATS, batch_size=3, seed=1), 0)
    assert all(len({SHAPES[each.entry] for each in batch}) == 1 for batch in batches)
    assert sorted(len(batch) for batch in batches) == [1, 2, 3, 3, 3]


def test_order_is_a_function_of_seed_and_position_alone():
    order = TrainingOrder(SHAPES, REPEATS, 2, seed=7)
    forward = [order.batch(position) for position in range(20)]
    jumping = TrainingOrder(SHAPES, REPEATS, 2, seed=7)
    assert [jumping.batch(position) for position in (19, 3, 11)] == [forward[19], forward[3], forward[11]]
    assert epoch(order, 0) != epoch(order, 1)
    assert [TrainingOrder(SHAPES, REPEATS, 2, seed=8).batch(position) for position in range(20)] != forward


def test_batches_of_one_walk_through_the_same_items_as_one_batch():
    shapes, repeats = [(1, 1, 2, 2)] * 8, [1] * 8
    four = TrainingOrder(shapes, repeats, 4, seed=3)
    one = TrainingOrder(shapes, repeats, 1, seed=3)
    assert [one.batch(position)[0] for position in range(8)] == [*four.batch(0), *four.batch(1)]


def test_stream_seeds_differ_by_every_part_and_by_where_parts_end():
    seeds = {stream_seed("a", 1, 2), stream_seed("a", 12), stream_seed("b", 1, 2), stream_seed("a", 1, 3)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


KEPT = [0.0] * 5 + [0.4] * 3


def test_regularisation_images_have_their_part_of_every_epoch_and_all_come_before_any_again():
    order = TrainingOrder(SHAPES, REPEATS, batch_size=2, seed=0, regularisation=KEPT)
    start, seen = 0, Counter()
    for number in range(6):
        batches = []
        while order.epoch_of(start) == number:
            batches.append(order.batch(start))
            start += 1
        items = [each for batch in batches for each in batch]
        counts = Counter(each.entry for each in items)
        assert [counts[entry] for entry in range(5)] == REPEATS[:5]
        # 8 · 0.4 / 0.6 in the mean.
        assert sum(counts[entry] for entry in (5, 6, 7)) == (5, 5, 6, 5, 5, 6)[number]
        assert len(set(items)) == len(items), "no two samples draw the same noise"
        assert all(len({SHAPES[each.entry] for each in batch}) == 1 for batch in batches)
        seen.update(counts)
    # 32 of them in 6 epochs, 8 passes of 4: each with its repeats.
    assert [seen[entry] for entry in (5, 6, 7)] == [8, 8, 16]


def test_with_regularisation_images_order_is_a_function_of_seed_and_position_too():
    order = TrainingOrder(SHAPES, REPEATS, 2, 7, KEPT)
    forward = [order.batch(position) for position in range(40)]
    jumping = TrainingOrder(SHAPES, REPEATS, 2, 7, KEPT)
    assert [jumping.batch(position) for position in (39, 3, 21)] == [forward[39], forward[3], forward[21]]
    assert [TrainingOrder(SHAPES, REPEATS, 2, 8, KEPT).batch(position) for position in range(40)] != forward


def test_few_regularisation_images_repeat_within_an_epoch_and_rare_ones_come_in_some():
    order = TrainingOrder([(1, 1, 2, 2)] * 9, [1] * 9, 1, 0, [0.0] * 8 + [0.8])
    items = [order.batch(position)[0] for position in range(order.batches_per_epoch)]
    assert Counter(each.entry for each in items)[8] == 32
    assert len(set(items)) == len(items)
    rare = TrainingOrder([(1, 1, 2, 2)] * 2, [1] * 2, 1, 0, [0.0, 0.1])
    assert Counter(rare.batch(position)[0].entry for position in range(100)) == {0: 90, 1: 10}


def test_regularisation_images_alone_or_of_several_fractions_are_refused():
    with pytest.raises(TrainingError, match="Everything in the cache is a regularisation image"):
        TrainingOrder([(1, 1, 2, 2)], [1], 1, 0, [0.5])
    with pytest.raises(TrainingError, match=r"have the fractions 0\.2 and 0\.5; give them all the same"):
        TrainingOrder([(1, 1, 2, 2)] * 3, [1] * 3, 1, 0, [0.0, 0.5, 0.2])


@pytest.fixture
def mixed(make_cache) -> MemoryCache:
    """Two photographs to learn, one of them half masked, and two regularisation images, one with a mask."""
    cache = make_cache([("a", SIZE, half()), ("b", SIZE, half()), ("r", SIZE, None), ("s", SIZE, half() * 0.5)])
    entries = [dataclasses.replace(each, regularisation=0.5 * (each.name in "rs")) for each in cache.entries]
    return dataclasses.replace(cache, entries=tuple(entries))


def test_regularisation_images_are_trained_on_and_counted_apart(run, mixed):
    watcher = Watcher()
    result = run("mixed", on=mixed, watcher=watcher, steps=8)
    assert any(
        "Regularisation images: 2, 1 of them with a mask; 2 in each epoch, 50% of it." in t for t in watcher.texts
    )
    (banner,) = [text for text in watcher.texts if "MASK-WEIGHTED" in text]
    assert "Mask sources: alpha=0, file=2, none=0" in banner
    assert "coverage: 50.0%" in banner
    kept = [point for point in result.points if point.regularisation is not None]
    assert len(kept) == 4
    # One sample a step: what is a regularisation image has no inside, and its error is the loss.
    assert all(point.inside is None and point.outside is None for point in kept)
    assert all(point.regularisation == pytest.approx(point.loss, rel=1e-5) for point in kept)
    assert all(point.coverage == 0.5 for point in result.points if point.regularisation is None)
    assert result.loss_map["regularisation"] == [point.regularisation for point in result.points]
    learnt = dataclasses.replace(mixed, entries=mixed.entries[:2])
    assert distance(result, run("learnt", on=learnt, steps=8)) > 1e-6


def test_they_share_a_batch_with_what_is_learnt_and_stay_apart_in_its_figures(run, mixed):
    point = run("both", on=mixed, batch_size=4, steps=1).points[0]
    assert None not in (point.inside, point.outside, point.regularisation)
    assert point.coverage == 0.5


def test_they_are_no_missing_masks_and_never_held_back_for_validation(run, mixed, caplog):
    strict = dataclasses.replace(PLAIN, strict=True)
    result = run("strict", strict, on=mixed, steps=4, validation_split=0.5)
    assert not any("had no mask" in message for message in caplog.messages)
    assert result.history.validation
    assert len({point.regularisation is None for point in result.points}) == 2


def test_a_run_with_them_that_is_cut_goes_on_to_the_same_end(run, mixed):
    whole = run("whole", on=mixed, steps=7, batch_size=2)
    with pytest.raises(Stop):
        run("cut", on=mixed, steps=7, batch_size=2, watcher=Watcher(3))
    assert_same(run("cut", on=mixed, steps=7, batch_size=2), whole)
