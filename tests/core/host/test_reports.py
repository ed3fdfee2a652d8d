"""Reports are given out by an id, and nothing else is, however it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.core.host.reports import KeptReports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    (folder / "images").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "images/a b.jpg").write_bytes(b"jpeg")
    (folder / "script.sh").write_text("exit")
    (tmp_path / "secret.html").write_text("secret")
    return folder


def test_a_page_and_its_pictures_have_their_types_and_no_access(folder: Path) -> None:
    kept = KeptReports()
    known = kept.keep(folder)
    assert kept.keep(folder) == known
    page, picture = kept.answer(known, "index.html"), kept.answer(known, "images/a b.jpg")
    assert (page.status, page.content_type) == (200, "text/html")
    # First of all, where no part of the page can come before it.
    assert page.body.startswith(b'<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src')
    assert page.body.count(b"<!doctype html>") == 1
    assert (picture.content_type, picture.body) == ("image/jpeg", b"jpeg")
    policy = page.headers["Content-Security-Policy"]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    # No script that stands in the page, and no request from one.
    assert (allowed["default-src"], allowed["script-src"]) == ("'none'", "'self'")
    assert "connect-src" not in allowed


@pytest.mark.parametrize(
    "name",
    [
        "../secret.html", "images/../../secret.html", "/etc/passwd", "script.sh", "images", "", "none.html", "a\0.html",
        "out/secret.html", "link.html", "x" * 5000 + ".html",
    ],
)  # fmt: skip
def test_what_lies_elsewhere_or_is_no_page_is_not_there(folder: Path, name: str) -> None:
    (folder / "out").symlink_to(folder.parent)
    (folder / "link.html").symlink_to(folder.parent / "secret.html")
    kept = KeptReports()
    assert kept.answer(kept.keep(folder), name).status == 404


def test_an_id_that_nobody_gave_out_is_not_there_nor_the_oldest_of_too_many(folder: Path) -> None:
    kept = KeptReports(most=2)
    first, *others = (kept.keep(each) for each in (folder, folder.parent / "b", folder.parent / "c"))
    assert kept.answer("none", "index.html").status == 404
    assert kept.answer(first, "index.html").status == 404
    assert kept.answer(kept.keep(folder), "index.html").status == 200
    assert len({first, *others}) == 3
