"""Which tokens are kept, how much they count, and that this is right on average."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from maskloss.core.errors import SettingError
from maskloss.core.train.token_routing import (
    Drawing,
    KeptTokens,
    RoutingSettings,
    along_curve,
    always_kept,
    choose_tokens,
    draw,
    gather_tokens,
    needed_count,
    patch_pattern,
    routed_blocks,
    scatter_tokens,
    token_grid,
)

PATCH = (1, 2, 2)
DRAWINGS = tuple(Drawing)


def person(frames: int = 1, height: int = 32, width: int = 32, floor: float = 0.0) -> torch.Tensor:
    """(1,1,T,h,w): an 8×8 person in the middle, background at the floor."""
    weights = torch.full((1, 1, frames, height, width), floor)
    weights[..., height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4] = 1.0
    return weights


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_fraction_outside_its_range_is_refused_with_the_remedy(fraction: float) -> None:
    with pytest.raises(SettingError, match=r"background_tokens must be in range \(0, 1\], 1 = off; found .*such as"):
        RoutingSettings(fraction)


@pytest.mark.parametrize("wrong", [{"margin": -1}, {"low_weight": 1.5}, {"patch_side": 0}])
def test_other_settings_outside_their_ranges_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        RoutingSettings(0.5, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("depth", "expected"), [(1, (0, 0)), (2, (0, 0)), (3, (1, 2)), (12, (1, 11)), (40, (2, 38))])
def test_a_sixteenth_of_the_blocks_at_each_end_runs_on_all_tokens(depth: int, expected: tuple[int, int]) -> None:
    assert routed_blocks(depth) == expected


def test_the_person_and_the_cells_around_it_are_always_kept() -> None:
    kept = always_kept(person(), PATCH, RoutingSettings(0.1, margin=2)).reshape(16, 16)
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[5:11, 5:11] = True  # cells 12…19 and two more on each side are 10…21: tokens 5…10
    assert torch.equal(kept, expected)


def test_a_margin_reaches_into_a_token_by_one_cell() -> None:
    weights = torch.zeros(1, 1, 1, 4, 8)
    weights[..., 0, 0] = 1.0
    assert always_kept(weights, PATCH, RoutingSettings(0.1, margin=0)).sum() == 1
    assert always_kept(weights, PATCH, RoutingSettings(0.1, margin=1)).sum() == 1
    assert always_kept(weights, PATCH, RoutingSettings(0.1, margin=2)).sum() == 4


def test_a_person_in_one_frame_keeps_no_token_of_another() -> None:
    weights = person(frames=3)
    weights[:, :, 0] = 0.0
    kept = always_kept(weights, PATCH, RoutingSettings(0.1)).reshape(3, 16, 16)
    assert kept[0].sum() == 0
    assert kept[1].sum() == kept[2].sum() == 36


def test_weights_up_to_low_weight_are_background() -> None:
    settings = RoutingSettings(0.1, margin=0, low_weight=0.25)
    weights = torch.tensor([0.0, 0.25, 0.26, 1.0]).repeat_interleave(2).reshape(1, 1, 1, 1, 8).expand(1, 1, 1, 2, 8)
    assert always_kept(weights, PATCH, settings).tolist() == [[False, False, True, True]]


def test_incomplete_patches_are_tokens_too() -> None:
    assert token_grid((3, 5, 7), (1, 2, 2)) == (3, 3, 4)
    assert token_grid((5, 5, 7), (2, 2, 2)) == (3, 3, 4)
    weights = torch.zeros(1, 1, 1, 5, 7)
    weights[..., 4, 6] = 1.0
    kept = choose_tokens(weights, PATCH, RoutingSettings(0.1, margin=0), [0])
    assert kept.tokens == 12
    assert 11 in kept.indices_BK[0].tolist()
    assert kept.factor_B1Thw.shape == weights.shape
    assert kept.factor_B1Thw[..., 4, 6] == 1.0


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_fraction_of_the_background_is_kept_and_counts_for_all_of_it(drawing: Drawing) -> None:
    kept = choose_tokens(person(), PATCH, RoutingSettings(0.1, drawing=drawing), [7])
    background = 256 - 36
    drawn = kept.count - 36
    assert background * 0.1 <= drawn < background * 0.1 + 4  # rounded up to a 64th of all tokens
    assert kept.skips
    assert kept.tokens == 256
    assert torch.equal(kept.indices_BK, kept.indices_BK.sort(dim=1).values)
    assert len(kept.indices_BK[0].unique()) == kept.count
    factors = kept.factor_B1Thw[0, 0, 0, ::2, ::2]
    assert torch.equal(factors.flatten().nonzero()[:, 0], kept.indices_BK[0])
    assert torch.equal(factors[5:11, 5:11], torch.ones(6, 6))
    assert sorted(set(factors.flatten().tolist())) == pytest.approx([0.0, 1.0, background / drawn])
    # A constant weight's sum is the plain one in every single draw.
    assert kept.factor_B1Thw.sum() == pytest.approx(32 * 32)


@pytest.mark.parametrize(("available", "wanted", "patch_tokens"), [(12, 5, 4), (30, 7, 2), (7, 6, 16), (9, 1, 4)])
def test_in_patches_every_place_is_kept_by_equally_many_of_the_shifts(
    available: int, wanted: int, patch_tokens: int
) -> None:
    pattern = patch_pattern(available, wanted, patch_tokens)
    assert len(pattern) == wanted
    assert int(pattern.min()) >= 0
    assert int(pattern.max()) < available
    times = torch.zeros(available, dtype=torch.int64)
    for shift in range(available):
        places = (pattern + shift) % available
        assert len(places.unique()) == wanted
        times[places] += 1
    assert times.tolist() == [wanted] * available


def test_the_shift_of_patches_and_the_subset_of_scattered_tokens_take_every_value() -> None:
    """With these seeds every shift, or every subset, comes up, none more than a fair generator makes it."""
    for drawing, ways in ((Drawing.PATCHES, 6), (Drawing.SCATTERED, len(list(combinations(range(6), 2))))):
        settings = RoutingSettings(0.5, drawing=drawing)
        found: dict[tuple[int, ...], int] = {}
        for seed in range(3000):
            drawn = draw(6, 2, settings, 1, torch.Generator().manual_seed(seed))
            found[tuple(sorted(drawn.tolist()))] = found.get(tuple(sorted(drawn.tolist())), 0) + 1
        assert len(found) == ways
        assert max(found.values()) < 1.2 * 3000 / ways
        assert min(found.values()) > 0.8 * 3000 / ways


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_the_weighted_sum_over_kept_tokens_is_on_average_the_plain_sum(drawing: Drawing) -> None:
    """Over every possible draw, each as likely as the others, with a floor: errors are arbitrary numbers."""
    settings = RoutingSettings(0.4, margin=0, low_weight=0.1, drawing=drawing, patch_side=1)
    weights = torch.full((1, 1, 1, 2, 5), 0.1)
    weights[..., 0, :3] = 1.0
    error = torch.rand(1, 3, 1, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    kept = choose_tokens(weights, (1, 1, 1), settings, [0])
    background = along_curve((~always_kept(weights, (1, 1, 1), settings)[0]).nonzero()[:, 0], (1, 2, 5))
    wanted = kept.count - 3
    assert (len(background), wanted) == (7, 3)
    if drawing is Drawing.PATCHES:
        draws = [(patch_pattern(7, 3, 1) + shift) % 7 for shift in range(7)]
    else:
        draws = [torch.tensor(subset) for subset in combinations(range(7), wanted)]
    value = float(kept.factor_B1Thw.max())
    sums = []
    for drawn in draws:
        factor = torch.zeros(10)
        factor[always_kept(weights, (1, 1, 1), settings)[0]] = 1.0
        factor[background[drawn]] = value
        one = KeptTokens(factor.nonzero().T, factor.reshape(1, 1, 1, 2, 5), 10)
        sums.append((error * one.weigh(weights).double()).sum())
    assert float(torch.stack(sums).mean()) == pytest.approx(float((error * weights.double()).sum()), rel=1e-6)
    assert float(torch.stack(sums).std()) > 0
    # What `choose_tokens` gave is one of these draws.
    assert any(set(background[drawn].tolist()) <= set(kept.indices_BK[0].tolist()) for drawn in draws)


def test_patches_are_connected_and_scattered_tokens_are_not() -> None:
    def neighbours(drawing: Drawing) -> float:
        kept = choose_tokens(torch.zeros(1, 1, 1, 64, 64), PATCH, RoutingSettings(0.1, drawing=drawing), [1])
        plane = torch.zeros(34, 34)
        plane[1 + kept.indices_BK[0] // 32, 1 + kept.indices_BK[0] % 32] = 1
        around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
        return float((around * plane[1:-1, 1:-1]).sum()) / kept.count

    assert neighbours(Drawing.PATCHES) > 2.0
    assert neighbours(Drawing.SCATTERED) < 0.8


def test_in_a_video_a_patch_goes_through_all_frames() -> None:
    settings = RoutingSettings(0.25, drawing=Drawing.PATCHES, patch_side=2)
    kept = choose_tokens(torch.zeros(1, 1, 4, 16, 16), PATCH, settings, [5])
    per_frame = [set((each % 64).tolist()) for each in kept.indices_BK[0].split(kept.count // 4)]
    assert len(set.intersection(*per_frame)) > 0.7 * kept.count / 4


def test_the_curve_visits_every_token_and_steps_to_a_neighbour() -> None:
    order = along_curve(torch.arange(256), (1, 16, 16))
    rows, columns = order // 16, order % 16
    assert order.sort().values.tolist() == list(range(256))
    assert ((rows[1:] - rows[:-1]).abs() + (columns[1:] - columns[:-1]).abs()).tolist() == [1] * 255
    assert sorted(along_curve(torch.arange(3 * 5 * 7), (3, 5, 7)).tolist()) == list(range(105))


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_draw_depends_on_the_sample_and_its_seed_alone(drawing: Drawing) -> None:
    settings = RoutingSettings(0.2, drawing=drawing)
    weights = torch.cat([person(), person()])
    both = choose_tokens(weights, PATCH, settings, [3, 4])
    for row, seed in enumerate((3, 4)):
        alone = choose_tokens(weights[[row]], PATCH, settings, [seed])
        assert torch.equal(alone.indices_BK[0], both.indices_BK[row])
        assert torch.equal(alone.factor_B1Thw[0], both.factor_B1Thw[row])
    assert not torch.equal(both.indices_BK[0], both.indices_BK[1])


def test_samples_of_one_batch_keep_equally_many_and_each_counts_by_its_own_chance() -> None:
    large = torch.zeros(1, 1, 1, 32, 32)
    large[..., 4:28, 4:28] = 1.0
    weights = torch.cat([person(), large])
    settings = RoutingSettings(0.1)
    kept = choose_tokens(weights, PATCH, settings, [0, 1])
    assert kept.count == max(needed_count(weights[[row]], PATCH, settings) for row in range(2))
    assert kept.factor_B1Thw.sum(dim=(1, 2, 3, 4)).tolist() == pytest.approx([1024, 1024])
    small_alone = choose_tokens(person(), PATCH, settings, [0], kept.count)
    assert torch.equal(small_alone.indices_BK[0], kept.indices_BK[0])
    assert torch.equal(kept.of([1]).indices_BK, kept.indices_BK[1:])
    assert torch.equal(kept.of([1]).factor_B1Thw, kept.factor_B1Thw[1:])


@pytest.mark.parametrize("fraction", [0.1, 1.0])
def test_nothing_is_skipped_where_everything_has_weight_or_all_background_is_kept(fraction: float) -> None:
    weights = torch.ones(1, 1, 1, 8, 8) if fraction < 1 else person()
    kept = choose_tokens(weights, PATCH, RoutingSettings(fraction), [0])
    assert not kept.skips
    assert torch.equal(kept.weigh(weights), weights)
    assert kept.indices_BK[0].tolist() == list(range(kept.tokens))


def test_an_empty_mask_keeps_a_fraction_of_everything() -> None:
    kept = choose_tokens(torch.zeros(1, 1, 1, 32, 32), PATCH, RoutingSettings(0.25), [0])
    assert kept.count == 64
    assert float(kept.factor_B1Thw.max()) == 4.0


def test_tokens_gathered_and_scattered_come_back_and_gradients_reach_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor([[0, 2, 5], [1, 2, 3]])
    part = gather_tokens(x, indices)
    assert torch.equal(part[1], x[1, [1, 2, 3]])
    assert torch.equal(scatter_tokens(x, part, indices), x)
    assert torch.equal(gather_tokens(x[:1], indices), torch.stack([x[0, [0, 2, 5]], x[0, [1, 2, 3]]]))
    assert torch.equal(gather_tokens(x[:1], indices[:1]), x[:1, [0, 2, 5]])
    result = scatter_tokens(x, 3.0 * part, indices)
    assert torch.equal(result[0, 1], x[0, 1])
    assert torch.equal(result[0, 2], 3.0 * x[0, 2])
    result.sum().backward()
    expected = torch.ones(2, 6, dtype=torch.float64)
    expected.scatter_(1, indices, 3.0)
    assert x.grad is not None
    assert torch.equal(x.grad, expected[..., None].expand(2, 6, 3))
