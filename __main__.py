"""The `maskloss` command: `python -m maskloss`, or this file by its path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def _package() -> str:
    """The name of this package, which has none where this file is run by its path, as out of ComfyUI's folder of
    packs, where the package may be called anything."""
    if __package__:
        return __package__
    folder = Path(__file__).resolve().parent
    # Python put it there, and names in it, such as `nodes`, are ComfyUI's too.
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != folder]
    spec = importlib.util.spec_from_file_location("maskloss", folder / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package")
    sys.modules["maskloss"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["maskloss"])
    return "maskloss"


def main() -> int:
    """The entry point of the installed command."""
    return importlib.import_module(f"{_package()}.cli.main").main()


if __name__ == "__main__":
    sys.exit(main())
