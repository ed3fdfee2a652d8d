"""The trials of `benchmarks/torture.py` with what people bring: photographs, masks, videos, and their names."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from maskloss.core.errors import UserError
from maskloss.core.images import load_image, load_mask
from PIL import Image

from . import torture_files as files
from . import torture_steps as steps
from .torture_steps import Trial, expect, expect_tidy


def metadata(random: Random, root: Path) -> None:
    """Odd EXIF, XMP, profiles, texts and checksums around pixels that decode: the picture is used."""
    steps.place(root, 1)
    suffix, content, kind = files.picture_with_metadata(random)
    (root / f"set/a{suffix}").write_bytes(content)
    try:
        load_image(root / f"set/a{suffix}")
        _through(random, root, 2)
    except UserError as refused:
        raise steps.Lost(f"a picture that decodes is refused for its {kind}: {refused}") from refused


def pictures(random: Random, root: Path) -> None:
    """A photograph of any format and mode, three of four damaged, among whole ones."""
    steps.place(root, 1)
    suffix, content = files.picture(random)
    if random.random() < 0.75:
        content = files.damaged(random, content)
    (root / f"set/a{suffix}").write_bytes(content)
    _through(random, root, 2)


def masks(random: Random, root: Path) -> None:
    """The same for a mask."""
    steps.place(root, 2)
    victim = random.choice(sorted((root / "masks").iterdir()))
    with Image.open(victim) as image:
        size = image.size
    suffix, content = files.picture(random)
    if random.random() < 0.5:
        victim.with_suffix(suffix).write_bytes(content)
        with Image.open(victim.with_suffix(suffix)) as image:
            frame = image.resize(size, Image.Resampling.NEAREST)
        victim.unlink(missing_ok=True)
        victim.with_suffix(suffix).unlink(missing_ok=True)
        frame.save(victim.with_suffix(suffix))
    else:
        victim.unlink()
        victim.with_suffix(suffix).write_bytes(files.damaged(random, content))
    load_mask(victim.with_suffix(suffix))
    _through(random, root, 2)


def videos(random: Random, root: Path) -> None:
    """A short video, two of three damaged, beside a photograph; sometimes with a mask of its name."""
    steps.place(root, 1)
    files.video(random, root / "set/film")
    film = next((root / "set").glob("film.*"))
    if random.random() < 0.67:
        film.write_bytes(files.damaged(random, film.read_bytes()))
    if random.random() < 0.3:
        shutil.copy(root / "masks/p00.png", root / "masks/film.png")
    elif random.random() < 0.3:
        files.video(random, root / "masks/film")
    _through(random, root, None)


def names(random: Random, root: Path) -> None:
    """Photograph, caption and mask of one strange name are found as one, and go all the way."""
    steps.place(root, 1)
    stem = files.name(random)
    suffix = random.choice((".png", ".PNG", ".Png"))
    try:
        for folder, end in (("set", suffix), ("set", ".txt"), ("masks", ".png")):
            before = next(path for path in (root / folder).glob("p00.*") if path.suffix == end.lower())
            shutil.copy(before, root / folder / f"{stem}{end}")
    except OSError:
        return  # this disk has no such name
    if stem.startswith(".") or stem == "p00":
        return
    found = steps.dataset(root)
    expect(len(found.items) == 2, f"{len(found.items)} of 2 photographs are found")
    expect(all(item.mask_path and item.caption for item in found.items), "mask or caption is not found")
    _through(random, root, 2)


def _through(random: Random, root: Path, count: int | None) -> None:
    """One of the three ways through a dataset; the photographs stay as they are, a second time changes nothing."""
    before = steps.digest(root / "set"), steps.digest(root / "masks")
    way = random.choice(("cache", "merge", "build"))
    try:
        if way == "cache":
            found = steps.dataset(root, alpha_mask=random.random() < 0.2)
            made = steps.cache(found, root / "out")
            expect(count is None or len(made.entries) == count, f"{len(made.entries)} of {count} photographs")
            opened = steps.all_of(root / "out")
            expect(not opened.stale_entries, "a fresh cache calls itself stale")
        elif way == "merge":
            found = steps.dataset(root)
            steps.merge(found, root / "out")
            again = steps.merge(found, root / "out")["counts"]
            expect(again["written"] == 0, f"the second time writes again: {again}")
        else:
            steps.build(root, root / "out")
            again = steps.build(root, root / "out")["counts"]
            expect(again["written"] == 0, f"the second time writes again: {again}")
    finally:
        after = steps.digest(root / "set"), steps.digest(root / "masks")
        expect(after == before, "photographs or masks were changed")
        expect_tidy(root)


TRIALS: dict[str, Trial] = {
    "metadata": metadata,
    "pictures": pictures,
    "masks": masks,
    "videos": videos,
    "names": names,
}
