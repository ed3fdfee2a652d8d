"""A dataset by the file that describes it to a trainer: the reference system's, which is ours too, or another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..files import read_bytes
from ..paths import Folders
from .config_file import ConfigFile, read_config
from .read_toml import read_toml
from .trainers.ai_toolkit import datasets_of, read_ai_toolkit
from .trainers.diffusion_pipe import is_diffusion_pipe, read_diffusion_pipe
from .trainers.onetrainer import concepts_of, read_onetrainer
from .trainers.sd_scripts import is_sd_scripts, read_sd_scripts
from .trainers.simpletuner import backends_of, read_simpletuner
from .trainers.translation import Translation

READ = (
    "TOML of musubi-tuner, blissful-tuner, sd-scripts and diffusion-pipe, concepts of OneTrainer (JSON), the backends "
    "of SimpleTuner (JSON), and a training file of AI Toolkit (YAML or JSON)"
)


def read_any_config(path: Path, folders: Folders) -> ConfigFile:
    """Read a dataset file of any trainer that is known, by what stands in it; relative paths count from its folder.

    DatasetError in one sentence for a damaged file, one that no trainer is known by, and for every setting that acts
    there and cannot be had here; PathError for folders that are missing or not open.
    """
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        return _config(path, _translate(_load(path), path, folders))
    content = read_toml(path)
    if is_diffusion_pipe(content):
        return _config(path, read_diffusion_pipe(content, path, folders))
    if is_sd_scripts(content):
        return _config(path, read_sd_scripts(content, path, folders))
    return read_config(path, folders)


def _config(path: Path, translation: Translation) -> ConfigFile:
    return ConfigFile(path, translation.datasets, translation.messages)


def _translate(content: object, path: Path, folders: Folders) -> Translation:
    if (backends := backends_of(content)) is not None:
        return read_simpletuner(backends, path, folders)
    if (datasets := datasets_of(content)) is not None:
        return read_ai_toolkit(*datasets, path, folders)
    if (concepts := concepts_of(content)) is not None:
        return read_onetrainer(concepts, path, folders)
    raise DatasetError(f"{path} is no dataset file that is known; {READ} are read.")


def _load(path: Path) -> Any:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); see that it is there, and UTF-8.") from error
    if path.suffix.lower() != ".json":
        return _load_yaml(text, path)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged ({error}); mend it as JSON.") from error


def _load_yaml(text: str, path: Path) -> Any:
    try:
        import yaml  # ComfyUI has it
    except ImportError as error:
        raise DatasetError(f"{path} is YAML, which needs the package PyYAML: pip install PyYAML.") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged ({' '.join(str(error).split())}); mend it as YAML.") from error
