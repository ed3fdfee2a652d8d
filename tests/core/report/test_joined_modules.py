"""Modules that are joined do what they do as modules, in a real JavaScript engine."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from maskloss.core.errors import InternalError
from maskloss.core.report.joined_modules import join_modules

NODE = shutil.which("node")
WEB = Path(__file__).resolve().parents[3] / "web"


def write(folder: Path, **modules: str) -> Path:
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source)
    return folder / "a.js"


@pytest.mark.skipif(NODE is None, reason="no node")
def test_equal_names_do_not_meet_and_each_module_is_there_once(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        a='import { up as raise, Box } from "./b.js";\nimport {\n  count,\n} from "./c.js";\n\n'
        "const SIZE = 1;\nglobalThis.told = [raise(SIZE), new Box().size, count()];\n",
        b='import { count } from "./c.js";\n\nconst SIZE = 10;\n'
        "export function up(by) {\n  return SIZE + by + count();\n}\n"
        "export class Box {\n  size = SIZE;\n}\n",
        c="let times = 0;\nexport const count = () => ++times;\n",
    )
    script = join_modules(entry) + "console.log(JSON.stringify(globalThis.told));"
    done = subprocess.run([str(NODE), "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [12, 10, 2]


def test_what_is_written_otherwise_is_told(tmp_path: Path) -> None:
    for source in (
        'import x from "./b.js";\n',
        "export default 1;\n",
        'export * from "./b.js";\n',
        'import "./b.js";\n',
    ):
        with pytest.raises(InternalError, match="which is not joined"):
            join_modules(write(tmp_path, a=source, b="\n"))
    with pytest.raises(InternalError, match="imports itself"):
        join_modules(write(tmp_path, a='import { b } from "./b.js";\n', b='import { a } from "./a.js";\n'))


@pytest.mark.skipif(NODE is None, reason="no node")
def test_the_viewer_joins_to_a_script_without_modules(tmp_path: Path) -> None:
    script = join_modules(WEB / "viewer/page.js")
    (tmp_path / "viewer.js").write_text(script)
    subprocess.run([str(NODE), "--check", str(tmp_path / "viewer.js")], check=True, capture_output=True)
    assert "globalThis.maskloss" in script
    assert "fetchApi" not in script  # nothing of a server
