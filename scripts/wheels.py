"""A folder of wheels: all that lwlive needs beside torch, for a machine without a network.

`main` fetches it, `installed` installs from it. Needs nothing but Python and pip.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
LEFT_OUT = ("torch",)  # the machine has its own, made for its GPU
NEWEST_GLIBC = 39  # 2.39; a wheel made for an older one serves, too
PLATFORMS = {
    "linux_x86_64": [f"manylinux_2_{n}_x86_64" for n in range(NEWEST_GLIBC, 4, -1)]
    + ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"],
    "linux_aarch64": [f"manylinux_2_{n}_aarch64" for n in range(NEWEST_GLIBC, 16, -1)]
    + ["manylinux2014_aarch64"],
    "win_amd64": ["win_amd64"],
}


def main(words: list[str]) -> int:
    """Fetch the wheels that the command line asks for; returns pip's exit code."""
    parser = argparse.ArgumentParser(prog="prove.py wheels", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}")
    parser.add_argument("--platform", choices=tuple(PLATFORMS), default="linux_x86_64")
    given = parser.parse_args(words)
    given.folder.mkdir(parents=True, exist_ok=True)
    common = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    common += ["--dest", str(given.folder), "--python-version", given.python]
    for tag in PLATFORMS[given.platform]:
        common += ["--platform", tag]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pins:
        pins.writelines(f"{pin}\n" for pin in constraints())
        pins.flush()
        return subprocess.call([*common, "--constraint", pins.name, *needed()])


def needed() -> list[str]:
    """What pyproject.toml lists, but for torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [each for each in project["dependencies"] if _name(each) not in LEFT_OUT]


def constraints() -> list[str]:
    """The pinned versions, but for torch's."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    return [line for line in lines if _name(line) not in LEFT_OUT]


def installed(folder: Path, site: Path) -> Path:
    """The folder `site` with these wheels installed into it, for PYTHONPATH. Raises SystemExit."""
    found = sorted(folder.glob("*.whl"))
    if not found:
        sys.exit(
            f"--wheels: there is no wheel in {folder}; `prove.py wheels {folder}` fetches them"
        )
    stamp, names = site / "wheels.txt", "\n".join(wheel.name for wheel in found)
    if stamp.is_file() and stamp.read_text("utf-8") == names:
        return site
    shutil.rmtree(site, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*pip, "--target", str(site), *map(str, found)], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        sys.exit(f"--wheels: pip could not install from {folder}: {last}")
    stamp.write_text(names, "utf-8")
    return site


def _name(requirement: str) -> str:
    """The package that a requirement is about."""
    name = requirement.strip()
    for mark in "<>=!~[; ":
        name = name.split(mark)[0]
    return name.lower()
