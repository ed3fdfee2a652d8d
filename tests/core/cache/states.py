"""What tests read off a caching report and a directory."""

from pathlib import Path


def states(report: dict) -> dict[str, str]:
    return {row["name"]: row["state"] for row in report["items"]}


def stamps(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
