"""What tells one thing from another by what it is made of."""

from __future__ import annotations

from maskloss.core.fingerprints import fingerprint_of


def test_parts_are_kept_apart() -> None:
    assert fingerprint_of("ab", "c") != fingerprint_of("a", "bc")
    assert fingerprint_of("a", 1) == fingerprint_of("a", "1")


def test_what_is_noted_on_disks_stays_what_it_is() -> None:
    assert fingerprint_of("a", 1) == "b343590635d7675badd5d692cccaf176b0a32677d91d062bdfb63aa245308349"
