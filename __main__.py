"""The `maskloss` command, and `python -m maskloss`."""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
