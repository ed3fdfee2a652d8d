"""Whatever is cached comes back as it was, from our own files and by way of the reference system's."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.cache.entry_file import (
    MaskStorage,
    entry_file_name,
    is_finite,
    read_header,
    read_image,
    read_latent,
    read_weights,
    write_entry,
)
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.mask_weights import MaskLossSettings, transform_weights
from safetensors.torch import load_file, save_file

GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
SEEDS = st.integers(0, 2**31)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
# What a photograph may be called, and how another trainer's clips are called.
NAMES = st.one_of(
    st.text(st.characters(categories=("L", "N"), include_characters="_- .()"), min_size=1, max_size=12).filter(
        lambda text: text.strip(". ") == text
    ),
    st.sampled_from(["a_0001x0002_wan", "film_00017-005", "x_1024x1024", "0512x0512"]),
)
LATENT_TYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])
MOST_WRONG = {MaskStorage.FLOAT32: 0.0, MaskStorage.FLOAT16: 2**-12, MaskStorage.UINT8: 1 / 510 + 1e-7}


def some_weights(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """float32 in [0, 1], both ends and hardly anything among them."""
    weights = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    ends = torch.tensor([0.0, 1.0, 1e-7, 1 - 2**-24, 0.3, 1 / 510])
    flat = weights.view(-1)
    flat[: len(ends)] = ends[: len(flat)]
    return weights


def some_latent(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 20), GRIDS, LATENT_TYPES, st.sampled_from(MaskStorage), st.booleans(), st.booleans(), SEEDS, TEXTS
)
def test_any_entry_comes_back(
    channels: int,
    grid: tuple[int, int, int],
    dtype: torch.dtype,
    storage: MaskStorage,
    masked: bool,
    shown: bool,
    seed: int,
    note: str,
) -> None:
    latent = some_latent((channels, *grid), seed).to(dtype)
    weights = some_weights((1, *grid), seed) if masked else None
    image = some_latent((channels + 4, *grid), seed + 1).to(dtype) if shown else None
    with TemporaryDirectory() as folder:
        path = Path(folder, "sub", entry_file_name("a", (48, 32), "wan"))
        write_entry(path, latent, weights, storage, {"note": note}, image)
        header = read_header(path)
        assert (header.latent_shape, header.has_weights) == ((channels, *grid), masked)
        assert (header.image_channels, header.others) == (channels + 4 if shown else 0, ())
        assert header.metadata["note"] == note
        assert torch.equal(read_latent(path, latent.shape), latent.float())
        if image is not None:
            assert torch.equal(read_image(path, image.shape), image.float())
        back = read_weights(path, (1, *grid))
    if weights is None:
        assert back is None
    else:
        assert back is not None
        assert back.dtype == torch.float32
        assert float((back - weights).abs().max()) <= MOST_WRONG[storage]


@pytest.mark.parametrize(("gamma", "most"), [(1.0, 0.002), (2.0, 0.004), (0.7, 0.013), (0.5, 0.045)])
def test_rounding_to_uint8_costs_after_gamma_what_the_help_says(tmp_path: Path, gamma: float, most: float) -> None:
    weights = torch.linspace(0, 1, 255 * 40 + 1).reshape(1, 1, 1, -1)  # every tier, and what lies between two
    write_entry(tmp_path / "a", torch.zeros(1, *weights.shape[1:]), weights, MaskStorage.UINT8, {})
    back = read_weights(tmp_path / "a", weights.shape)
    assert back is not None
    used, exact = (transform_weights(some[None], MaskLossSettings(gamma=gamma)) for some in (back, weights))
    wrong = (used - exact).abs().flatten()
    assert float(wrong[::40].max()) <= 1e-6, "the tiers themselves stay exact"
    assert most * 0.95 <= float(wrong.max()) <= most
    page = Path(__file__).parents[3] / "web/docs/MaskLossCacheLatents.md"
    assert f"{most} at gamma {gamma:g}" in page.read_text(encoding="utf-8")


Cached = tuple[str, tuple[int, int, int], bool, str]
ENTRIES = st.lists(st.tuples(NAMES, GRIDS, st.booleans(), TEXTS), min_size=1, max_size=3, unique_by=lambda row: row[0])


def cache_of(directory: Path, rows: list[Cached], storage: MaskStorage, architecture: str, seed: int) -> LatentCache:
    entries: list[CacheEntry] = []
    for number, (name, grid, masked, caption) in enumerate(rows):
        bucket = (grid[2] * 8, grid[1] * 8)
        file = entry_file_name(name, (bucket[0] + 3, bucket[1]), architecture)
        weights = some_weights((1, *grid), seed + number) if masked else None
        write_entry(directory / file, some_latent((16, *grid), seed + number), weights, storage, {})
        size = (directory / file).stat().st_size
        entries.append(
            CacheEntry(
                name, file, MaskOrigin.FILE if masked else MaskOrigin.NONE, 0.5, 1, (bucket[0] + 3, bucket[1]), bucket,
                (16, *grid), caption, "", "", size,
            )
        )  # fmt: skip
    return LatentCache(directory, architecture, "random", entries)


@settings(deadline=None, max_examples=40)
@given(ENTRIES, st.sampled_from(MaskStorage), st.sampled_from(["wan", "qi", "hv"]), SEEDS)
@example([("a", (1, 1, 1), False, "")], MaskStorage.UINT8, "hv", 0)
def test_any_cache_survives_the_way_to_the_reference_systems_files_and_back(
    rows: list[Cached], storage: MaskStorage, architecture: str, seed: int
) -> None:
    with TemporaryDirectory() as folder:
        cache = cache_of(Path(folder, "ours"), rows, storage, architecture, seed)
        export_reference(cache, Path(folder, "theirs"), with_text=False)
        theirs = open_cache(Path(folder, "theirs"))
        back = {entry.name: entry for entry in theirs.entries}
        assert theirs.architecture == architecture
        assert set(back) == {name for name, *_ in rows}
        for entry in cache.entries:
            other = back[entry.name]
            assert (other.image_size, other.bucket, other.latent_shape) == (
                entry.image_size, entry.bucket, entry.latent_shape,
            )  # fmt: skip
            close(theirs.latent(other), cache.latent(entry), architecture)
            own = cache.weights(entry)
            if own is None and any(masked for _, _, masked, _ in rows):
                own = torch.ones(1, *entry.latent_shape[1:])
            found = theirs.weights(other)
            assert found is None if own is None else torch.equal(found, own)


@settings(deadline=None, max_examples=40)
@given(NAMES, GRIDS, st.booleans(), st.sampled_from(["wan", "qi", "hv"]), SEEDS)
def test_any_file_of_the_reference_system_comes_out_key_for_key(
    name: str, grid: tuple[int, int, int], masked: bool, architecture: str, seed: int
) -> None:
    full_name = {"wan": "wan", "qi": "qwen_image", "hv": "hunyuan_video"}[architecture]
    size = "x".join(map(str, grid))
    tensors = {f"latents_{size}_float32": some_latent((16, *grid), seed) / 3}
    if masked:
        tensors[f"mask_weights_{size}_float32"] = some_weights((1, *grid), seed)
    metadata = {"architecture": full_name, "width": "99", "height": "98", "format_version": "1.0.1"}
    file = f"{name}_0099x0098_{architecture}.safetensors"
    with TemporaryDirectory() as folder:
        Path(folder, "theirs").mkdir()
        save_file(tensors, Path(folder, "theirs", file), metadata)
        export_reference(open_cache(Path(folder, "theirs")), Path(folder, "again"), with_text=False)
        assert [path.name for path in Path(folder, "again").iterdir()] == [file]
        again = load_file(Path(folder, "again", file))
    assert set(again) == set(tensors)
    for key, tensor in tensors.items():
        close(again[key], tensor, "hv" if key.startswith("mask") else architecture)


def close(found: torch.Tensor, expected: torch.Tensor, architecture: str) -> None:
    """Equal, but for the rounding of what is normalised."""
    if architecture == "hv":
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_value_that_is_not_finite_is_seen(dtype: torch.dtype, bad: float):
    tensor = torch.ones(3, 1000, dtype=dtype)
    assert is_finite(tensor)
    tensor[1, 7] = bad
    assert not is_finite(tensor)


def test_infinities_that_cancel_out_are_seen_and_a_sum_that_overflows_is_no_fault():
    assert not is_finite(torch.tensor([float("inf"), 1.0, float("-inf")]))
    assert is_finite(torch.full((4,), torch.finfo(torch.float32).max))
    assert is_finite(torch.full((9,), 60000.0, dtype=torch.float16))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8])
def test_whole_numbers_are_finite(dtype: torch.dtype):
    assert is_finite(torch.ones(5, dtype=dtype))
