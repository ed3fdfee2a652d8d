from collections import Counter

from maskloss.core.train.order import TrainingOrder, stream_seed

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
