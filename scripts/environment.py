"""The folder .venv: made, filled as pyproject.toml and the constraints say, mended, and used.

Knows nothing of what it starts, and needs nothing but Python's own library. A stamp, written last
into .venv, names what an installation was made from; where it is missing or names something else,
pip runs again. So an interrupted installation is mended by the next start.
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
INTERRUPTED = "\nInterrupted; the next start continues from here."
STAMP = VENV / "lwlive-installed.txt"
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"

# What pip or the system says, and the sentence for the person at the desk. The first that fits:
# pip warns of a bad network or a missing build also when something above it is the cause.
CAUSES = (
    (
        "No space left|Errno 28|WinError 112|quota exceeded|No usable temporary directory",
        f"The disk is full: lwlive and its libraries need about 2 GB in {VENV} (8 GB with CUDA), "
        "and pip as much in the folder for temporary files; make room and run this again.",
    ),
    (
        "Read-only file system|Permission denied|Access is denied",
        f"{ROOT} cannot be written to: put it where you may write, end any show that still runs "
        "from it, and run this again.",
    ),
    (
        "SSLError|CERTIFICATE_VERIFY_FAILED",
        "The package index was reached but its certificate was refused: set the clock, or tell "
        "pip of your proxy's certificate (pip config set global.cert FILE), and run this again.",
    ),
    (
        "connection broken by|Failed to establish a new connection|Max retries exceeded"
        "|NameResolutionError|timed out|ConnectionResetError|IncompleteRead",
        "No network: pip could not reach the package index, which the first start needs; connect "
        "and run this again.",
    ),
    (
        "No matching distribution found|requires a different Python",
        f"A library that lwlive needs has no build for Python {sys.version.split()[0]} on this "
        "system: use a 64-bit Python 3.11 to 3.14, delete .venv and run this again.",
    ),
)


def program(name: str) -> str:
    """Where .venv keeps a program."""
    windows = os.name == "nt"
    return str(VENV / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name))


def start(*command: str) -> NoReturn:
    """Becomes the program, so that signals reach it; on Windows, waits for it."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program to answer
        sys.exit(subprocess.call(command))
    sys.stderr.flush()
    os.execv(command[0], command)


def attempt(*command: str) -> None:
    """Runs a program to its end, whatever that is; what it says goes to the person at the desk."""
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def prepare(extra: str = "") -> bool:
    """Makes and fills .venv unless the stamp says that this is done, or ends with a sentence.

    True where it was not done yet.
    """
    if _installed(extra):
        return False
    try:
        with _alone() as lock:
            if _installed(extra):
                return False
            _install(extra, lock)
            return True
    except OSError as error:
        sys.exit(_sentence(str(error)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _installed(extra: str) -> bool:
    """Whether the stamp was made from what is there now, with this extra."""
    with contextlib.suppress(OSError, ValueError):
        origin, *extras = STAMP.read_text().split()
        there = os.path.exists(program("python")) and os.path.exists(program("lwlive"))
        return there and origin == _origin() and (not extra or extra in extras)
    return False


def _origin() -> str:
    """What an installation depends on: two files, where it lies, and the Python under it."""
    sources = [ROOT / "pyproject.toml", CONSTRAINTS, VENV / "pyvenv.cfg"]
    places = [str(ROOT), os.path.realpath(program("python"))]
    content = [path.read_bytes() for path in sources] + [os.fsencode(place) for place in places]
    return hashlib.sha256(b"\0".join(content)).hexdigest()


@contextlib.contextmanager
def _alone() -> Iterator[list[int]]:
    """Keeps a second installation waiting, and a pip that outlived its parent counts as one.

    Yields the descriptors that a child must inherit to hold the lock. Windows goes without.
    """
    if sys.platform == "win32":
        yield []
        return
    import fcntl

    with CONSTRAINTS.open("a") as lock:  # appending, since some file systems lock no reader's file
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another installation into this folder is under way; waiting for it to end.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield [lock.fileno()]


def _install(extra: str, lock: list[int]) -> None:
    _say(f"Installing lwlive and its libraries into {VENV}; the first time takes some minutes.")
    STAMP.unlink(missing_ok=True)
    if not _usable():
        _make(lock)
    for unfinished in _unfinished():
        shutil.rmtree(unfinished)
    pip = ["pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    pip += ["--constraint", str(CONSTRAINTS)]
    # The build tool goes in first: pip would fetch another, unpinned, for each build.
    _run([*pip, "setuptools"], lock)
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    _run([*pip, "--no-build-isolation", "--editable", what], lock)
    STAMP.write_text(f"{_origin()} {extra}\n")


def _usable() -> bool:
    """Whether .venv holds a Python that is new enough and has pip."""
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    with contextlib.suppress(OSError):
        done = subprocess.run([program("python"), "-I", "-c", check], capture_output=True)
        return done.returncode == 0
    return False


def _make(lock: list[int]) -> None:
    try:
        import ensurepip  # noqa: F401 - Debian leaves it out of its Python
        import venv
    except ImportError:
        sys.exit(
            f"{sys.executable} came without venv or ensurepip: install them (on Debian and Ubuntu: "
            "apt install python3-venv) and run this again."
        )
    if VENV.exists():
        _say(f"{VENV} is broken or too old, and is made again.")
    venv.EnvBuilder(clear=True, symlinks=os.name != "nt").create(VENV)
    _run(["ensurepip", "--default-pip"], lock)


def _unfinished() -> list[Path]:
    """Records of packages that pip was writing when it was stopped, and would take for whole.

    INSTALLER is the file that pip writes after all others.
    """
    folders = [*VENV.glob("lib/*/site-packages"), VENV / "Lib" / "site-packages"]
    infos = [info for folder in folders for info in folder.glob("*.dist-info")]
    return [info for info in infos if not (info / "INSTALLER").exists()]


def _run(module: list[str], lock: list[int]) -> None:
    """Runs a module of .venv's Python, or ends with a sentence that says what stopped it."""
    command = [program("python"), "-I", "-m", *module]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=lock,
    )
    if done.returncode:
        sys.exit(_sentence(done.stdout))


def _sentence(said: str) -> str:
    for signs, sentence in CAUSES:
        if re.search(signs, said):
            return sentence
    last = "\n".join(said.strip().splitlines()[-8:])
    return f"The installation into {VENV} failed, for the reason in these last lines:\n{last}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
