"""The arrows between the rooms: cli → nodes → core/host, core/comfy → the rest of core."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import maskloss
import pytest

ROOT = Path(maskloss.__file__).parent
ROOMS = ("core", "nodes", "cli")
COMFYUI = {"comfy", "comfy_execution", "comfy_extras", "comfy_api", "folder_paths", "server", "execution", "nodes"}
# Rooms of core that know fewer than the others: all that each may import of this pack, beside itself.
NARROW = {
    "autograd": set(),
    "corrections": set(),
    "dataset": {"corrections", "people", "photo", "video"},
    "frozen": {"autograd"},
    "masks": {"dataset", "parts", "people", "segmenters", "video"},
    "people": set(),
    "photo": set(),
    "plan": {"autograd", "cache", "dataset", "frozen", "train"},
    "segmenters": {"bundled", "parts", "people"},
    "train": {"autograd", "cache", "dataset", "scores"},
    "video": set(),
    "viewer": {"corrections", "dataset", "masks", "parts", "people", "video"},
}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(level, module parts) of every import, relative ones resolved against `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            base = package[: len(package) - node.level + 1] if node.level else ()
            for alias in node.names:
                yield node.level, (*base, *module, alias.name)


def resolved(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return list(imports(tree, path.relative_to(ROOT).parent.parts))


def names_comfyui(path: Path) -> bool:
    return path.is_relative_to(ROOT / "core/comfy") or path == ROOT / "core/host/comfy.py"


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def room_of(module: tuple[str, ...]) -> str:
    """A folder of the pack; the files of core that lie in none are the room `core`."""
    return "/".join(module[:2]) if (ROOT / "/".join(module[:2])).is_dir() and module[0] == "core" else module[0]


def imported_files(path: Path) -> set[tuple[str, ...]]:
    """The modules of this pack that a file imports."""
    known = {module_of(source) for source in SOURCES}
    found = [module for level, module in resolved(path) if level]
    return {next(m for m in (module, module[:-1]) if m in known) for module in found if {module, module[:-1]} & known}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    module = module_of(path)
    room = room_of((*module, ""))
    for level, imported in resolved(path):
        if level == 0:
            assert imported[0] != "maskloss", "imports inside the pack are relative: its folder has any name"
            assert names_comfyui(path) or imported[0] not in COMFYUI, "only core/comfy and its host know ComfyUI"
            continue
        assert imported[0] in ROOMS
        if module[0] == "core":
            assert imported[0] == "core"
            allowed = {"core/host": ("host",), "core/comfy": ("comfy",)}.get(room, ())
            assert imported[1] in allowed or imported[1] not in ("host", "comfy")
        if module[0] == "nodes":
            assert imported[0] in ("nodes", "core")
    if room.startswith("core/") and room[5:] in NARROW:
        others = {room_of(imported) for imported in imported_files(path)} - {room, "core"}
        assert {other.removeprefix("core/") for other in others} <= NARROW[room[5:]]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_comfyui_is_named_in_its_rooms_only(path: Path) -> None:
    if names_comfyui(path):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            assert not {str(name).split(".")[0] for name in names} & COMFYUI


def cycle(arrows: dict[object, set[object]]) -> list[object]:
    """One way round and back, or nothing."""
    try:
        tuple(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_import_goes_round() -> None:
    files = {module_of(path): imported_files(path) for path in SOURCES}
    assert not cycle(files)
    rooms: dict[object, set[object]] = {}
    for module, imported in files.items():
        room = room_of((*module, ""))
        # What everything stands on are single files.
        rooms.setdefault(room, set()).update({room_of((*each, "")) for each in imported} - {room, "core"})
    assert not cycle(rooms)
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_the_walk_sees_what_it_forbids() -> None:
    tree = ast.parse("import comfy.utils\nfrom ..nodes import checks\nfrom . import host\nfrom .host import x")
    assert [module for _, module in imports(tree, ("core", "people"))] == [
        ("comfy", "utils"),
        ("core", "nodes", "checks"),
        ("core", "people", "host"),
        ("core", "people", "host", "x"),
    ]
    tree = ast.parse("from ...nodes import checks\nfrom ..host import current_host")
    assert [module for _, module in imports(tree, ("core", "people"))] == [
        ("nodes", "checks"),
        ("core", "host", "current_host"),
    ]


def place_of_tests(source: Path) -> Path:
    """core/a/b.py → tests/core/a/test_b.py."""
    inside = source.relative_to(ROOT)
    return ROOT / "tests" / inside.parent / f"test_{inside.name}"


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.name != "__init__.py"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_file_has_its_tests_in_its_place(path: Path) -> None:
    place = place_of_tests(path)
    assert place.is_file(), f"write {place.relative_to(ROOT)}, or move there what tests this file"
    tree = ast.parse(place.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert found, f"{place.relative_to(ROOT)} tests nothing"


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    files = [path for room in (*ROOMS, "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in files
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert not long, "split them along their subjects"


def test_the_packages_of_pyproject_are_the_folders() -> None:
    listed = {line.strip(' ",') for line in (ROOT / "pyproject.toml").read_text().replace(", ", "\n").splitlines()}
    packages = {".".join(("maskloss", *path.relative_to(ROOT).parent.parts)) for path in SOURCES}
    assert packages <= listed
