"""What is installed beside lwlive: extras for those who want them, and what stands in its way."""

import sys
from pathlib import Path

_PIP = f"{sys.executable} -m pip"
NO_PYGAME_CE = (
    "lwlive's window needs pygame-ce, and what is installed under its name is not that: run "
    f"`{_PIP} uninstall -y pygame pygame-ce`, then `{_PIP} install pygame-ce`"
)


def command(extra: str) -> str:
    """What to type to install an extra into the environment that is running."""
    clone = Path(__file__).resolve().parent.parent
    cloned = (clone / "pyproject.toml").is_file()
    what = f"-e '{clone}[{extra}]'" if cloned else f"'lwlive[{extra}]'"
    return f"{sys.executable} -m pip install {what}"
