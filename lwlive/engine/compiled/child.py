"""The child: a process of low priority that compiles packages while the show continues.

It knows nothing of frames. The child ends with the process that started it (see `parent`).
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from shutil import which

from lwlive.engine.compiled.build import Build


class Builder:
    """One build in a child process. Raises OSError where the child cannot be started."""

    def __init__(self, want: Build, to: Path) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child
        environment = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        lowest = getattr(subprocess, "IDLE_PRIORITY_CLASS", 0)  # Windows; elsewhere it is nice
        self._child = subprocess.Popen(
            [sys.executable, "-m", "lwlive.engine.compiled.build", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=environment,
            creationflags=lowest,
        )
        assert self._child.stdin is not None
        with self._child.stdin as pipe:
            pipe.write(json.dumps([asdict(want), str(to)]).encode() + b"\n")

    @property
    def done(self) -> bool:
        """Whether the child has ended."""
        return self._child.poll() is not None

    @property
    def trouble(self) -> str | None:
        """Why a child that is done has built nothing, None where it has."""
        if self._child.returncode == 0:
            return None
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"the compiler ended with code {self._child.returncode}"

    def close(self) -> None:
        """End the child."""
        if not self.done:
            self._child.kill()
            self._child.wait()
        self._log.close()


def compiler() -> str | None:
    """The C++ compiler that packages are built with, None where there is none."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
    return next((found for name in names if name and (found := which(name))), None)
