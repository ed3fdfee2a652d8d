"""The arguments of every command that takes a prompt."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """The prompt's file and what is set in it."""
    parser.add_argument("file", type=Path, help="the prompt, as ComfyUI's 'Export (API)' writes it")
    parser.add_argument("--set", action="append", default=[], metavar="ID.INPUT=VALUE", help="override one input")


def add_run_here(parser: argparse.ArgumentParser) -> None:
    """The prompt of a command that runs it without ComfyUI's server, and its folders."""
    add_prompt(parser)
    parser.add_argument("--input", type=Path, metavar="DIR", help="where relative paths are read (default: here)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where everything is written (default: here)")


def add_base_directory(parser: argparse.ArgumentParser) -> None:
    """For prompts that may have nodes of ComfyUI itself."""
    parser.add_argument(
        "--base-directory", type=Path, metavar="DIR", help="where ComfyUI's models folder lies (default: in ComfyUI)"
    )
