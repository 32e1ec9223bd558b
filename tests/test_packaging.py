"""What `pip install .` brings: a wheel is built from a copy of the sources, without a network."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 40_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, since setuptools leaves a build folder beside the sources."""
    copy = tmp_path_factory.mktemp("wheel") / "sources"
    nothing_made = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("lwlive", "presets"):
        shutil.copytree(ROOT / name, copy / name, ignore=nothing_made)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(copy / "out"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((copy / "out").glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_the_wheel_is_under_40_megabytes(wheel: Path) -> None:
    assert wheel.stat().st_size < LIMIT_BYTES


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_every_file_of_ember(names: set[str]) -> None:
    files = [path for path in (ROOT / "lwlive").rglob("*") if path.is_file()]
    files = [p for p in files if p.name != "README.md" or p.parent.name == "ember"]
    wanted = {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}
    assert wanted - names == set()
    assert {
        "lwlive/py.typed",
        "lwlive/cli/subcommands.py",
        "lwlive/ember/model_index.json",
    } <= wanted


@pytest.mark.slow
def test_the_wheel_holds_the_presets_and_their_pictures(names: set[str]) -> None:
    presets = [
        path.name for path in (ROOT / "presets").iterdir() if path.suffix in (".toml", ".jpg")
    ]
    assert any(name.endswith(".toml") for name in presets)
    assert {f"lwlive/presets/{name}" for name in presets} - names == set()


def test_the_wheel_holds_nothing_else(names: set[str]) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"lwlive"}


def test_the_wheel_offers_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "lwlive = lwlive.__main__:main" in archive.read(points).decode()


def test_the_presets_are_found_in_the_wheel_too(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from lwlive.preset import bundled; print(*(path.name for path in bundled()))"
    command = [sys.executable, "-c", code]
    for place in (tmp_path, ROOT):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        names = sorted(path.name for path in (ROOT / "presets").glob("*.toml"))
        assert done.stdout.split() == names, done.stderr
