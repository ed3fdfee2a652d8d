"""The arrows between the rooms: nodes → core, nodes → core.host → core; the command line stands on all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import maskloss
import pytest

ROOT = Path(maskloss.__file__).parent
ROOMS = ("core", "nodes", "cli")
COMFYUI = {"comfy", "comfy_execution", "comfy_extras", "comfy_api", "folder_paths", "server", "execution", "nodes"}
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    in_host = path.is_relative_to(ROOT / "core/host")
    for level, module in resolved(path):
        if level == 0:
            assert module[0] != "maskloss", "imports inside the pack are relative: its folder has any name"
            assert in_host or module[0] not in COMFYUI, "only core/host knows ComfyUI"
            continue
        assert module[0] in ROOMS
        if room == "core":
            assert module[0] == "core"
            assert in_host or module[:2] != ("core", "host")
        if room == "nodes":
            assert module[0] in ("nodes", "core")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_comfyui_is_named_in_the_host_only(path: Path) -> None:
    if path.is_relative_to(ROOT / "core/host"):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            assert not {str(name).split(".")[0] for name in names} & COMFYUI


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


def test_the_packages_of_pyproject_are_the_folders() -> None:
    listed = {line.strip(' ",') for line in (ROOT / "pyproject.toml").read_text().replace(", ", "\n").splitlines()}
    packages = {".".join(("maskloss", *path.relative_to(ROOT).parent.parts)) for path in SOURCES}
    assert packages <= listed
