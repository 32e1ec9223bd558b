"""Extras: what is installed only by those who want it, such as Ray or xformers."""

import sys
from pathlib import Path


def command(extra: str) -> str:
    """What to type to install an extra into the environment that is running."""
    clone = Path(__file__).resolve().parent.parent
    cloned = (clone / "pyproject.toml").is_file()
    what = f"-e '{clone}[{extra}]'" if cloned else f"'lwlive[{extra}]'"
    return f"{sys.executable} -m pip install {what}"
