"""Fingerprints: hashes of what a result was made from, which say when it has to be made again."""

from __future__ import annotations

import hashlib
import json


def fingerprint_of(*parts: object) -> str:
    """Hex SHA-256 over the parts' written forms, each kept apart from the next."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
