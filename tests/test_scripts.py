"""The two commands, run for real in a copy of the repository with a pip that only pretends."""

import ast
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
WINDOWS = os.name == "nt"

# Says what it was asked for, then does what the test set: fails with words, or installs a program.
FAKE_PIP = """
import os, pathlib, sys
said = pathlib.Path(os.environ["FAKE_PIP"])
with (said / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + chr(10))
if (said / "fails").exists():
    sys.exit((said / "fails").read_text())
program = pathlib.Path(sys.executable).with_name("lwlive")
program.write_text("#!/bin/sh" + chr(10) + 'echo "$@"; exit 7')
program.chmod(0o755)
"""


class Clone:
    """A repository with the real scripts, and a .venv whose pip pretends."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a clone"
        self.venv = self.root / ".venv"
        self.fake = root / "fake"
        self.fake.mkdir()
        (self.root / "scripts").mkdir(parents=True)
        for name in ("live.py", "test.py", "environment.py", "constraints.txt"):
            shutil.copy(SCRIPTS / name, self.root / "scripts")
        (self.root / "pyproject.toml").write_text("")
        venv.create(self.venv, symlinks=not WINDOWS)
        site = next(self.venv.glob("[Ll]ib*/**/site-packages"))
        self.site = site
        (site / "pip").mkdir()
        (site / "pip" / "__init__.py").touch()
        (site / "pip" / "__main__.py").write_text(FAKE_PIP)

    def run(self, script: str, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.root / "scripts" / script), *flags]
        env = {**os.environ, "FAKE_PIP": str(self.fake), **env}
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=self.fake)

    def calls(self) -> list[str]:
        """What pip was asked for since the last time."""
        log = self.fake / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


starts = pytest.mark.skipif(WINDOWS, reason="the pretended lwlive is a script with a #! line")


@starts
def test_the_show_gets_its_flags_and_its_exit_code_is_passed_on(clone: Clone) -> None:
    done = clone.run("live.py", "--prompt", "gold rings on black")
    assert (done.returncode, done.stdout) == (7, "--prompt gold rings on black\n")
    first, *rest = done.stderr.splitlines()  # what is being done, in one line
    assert "minutes" in first
    assert rest == ["models build ember"]  # and what is not done does not keep the show from it


@starts
def test_the_second_start_asks_pip_for_nothing_and_says_nothing(clone: Clone) -> None:
    clone.run("live.py")
    assert len(clone.calls()) == 2
    assert clone.run("live.py").stderr == ""
    assert clone.calls() == []


@pytest.mark.slow
@starts
def test_a_pull_that_changes_what_is_needed_installs_again(clone: Clone) -> None:
    clone.run("live.py")
    for changed in (clone.root / "pyproject.toml", clone.root / "scripts" / "constraints.txt"):
        clone.calls()
        with changed.open("a") as file:
            file.write("\n# changed\n")
        clone.run("live.py")
        assert len(clone.calls()) == 2


@starts
def test_a_clone_that_was_moved_installs_again(clone: Clone) -> None:
    clone.run("live.py")
    clone.calls()
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    assert clone.run("live.py").returncode == 7
    assert len(clone.calls()) == 2


@starts
def test_the_show_is_content_with_an_installation_for_the_tests(clone: Clone) -> None:
    clone.run("live.py")
    assert not any("[test]" in call for call in clone.calls())
    clone.run("test.py", "--version")
    assert any(call.endswith("a clone[test]") for call in clone.calls())
    clone.run("live.py")
    assert clone.calls() == []


def test_every_installation_is_held_to_the_constraints(clone: Clone) -> None:
    clone.run("test.py", "--version")
    calls = clone.calls()
    constraints = str(clone.root / "scripts" / "constraints.txt")
    assert calls
    assert all(f"--constraint {constraints}" in call for call in calls)


def test_the_tests_run_three_at_a_time_unless_a_flag_says_otherwise(clone: Clone) -> None:
    (clone.site / "pytest").mkdir()
    (clone.site / "pytest" / "__init__.py").touch()
    told = "import sys; print(*sys.argv[1:], sys.dont_write_bytecode)"
    (clone.site / "pytest" / "__main__.py").write_text(told)
    cores = os.cpu_count() or 1
    usual = ["-n", "1" if cores == 1 else "2" if WINDOWS else "3"]
    assert clone.run("test.py").stdout.split() == [*usual, "False"]
    said = clone.run("test.py", "-n", "0", PYTHONDONTWRITEBYTECODE="1").stdout.split()
    assert said == [*usual, "-n", "0", "False"]  # the last counts


def test_a_failed_installation_is_tried_again(clone: Clone) -> None:
    (clone.fake / "fails").write_text("anything")
    assert clone.run("live.py").returncode == 1
    (clone.fake / "fails").unlink()
    clone.calls()
    clone.run("live.py")
    assert len(clone.calls()) == 2


def test_a_package_that_was_being_written_is_not_taken_for_whole(clone: Clone) -> None:
    whole, torn = clone.site / "whole-1.dist-info", clone.site / "torn-1.dist-info"
    for info in (whole, torn):
        info.mkdir()
        (info / "METADATA").touch()
    (whole / "INSTALLER").write_text("pip\n")
    clone.run("live.py")
    assert whole.exists()
    assert not torn.exists()


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["pip", "python"])
def test_a_broken_environment_is_made_anew(clone: Clone, lost: str) -> None:
    python = next(path for path in clone.venv.glob("*/python*") if path.stem == "python")
    shutil.rmtree(clone.site / "pip") if lost == "pip" else python.unlink()
    done = clone.run("live.py", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="")
    assert done.returncode == 1  # the real pip, which is there again, and may look nowhere
    assert "made again" in done.stderr
    assert (clone.site / "pip" / "__pip-runner__.py").exists()
    assert python.exists()


def test_a_python_without_ensurepip_is_told_what_to_install(clone: Clone) -> None:
    """As Debian has it without python3-venv."""
    shutil.rmtree(clone.site / "pip")
    code = "import runpy, sys; sys.modules['ensurepip'] = None; sys.path.insert(0, sys.argv[1]); "
    code += "runpy.run_path(sys.argv[1] + '/live.py', run_name='__main__')"
    command = [sys.executable, "-c", code, str(clone.root / "scripts")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "python3-venv" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("pip_says", "we_say"),
    [
        (
            "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None)) after "
            "connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection."
            "HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] "
            "Temporary failure in name resolution')': /simple/setuptools/\nERROR: Could not find a "
            "version that satisfies the requirement setuptools (from versions: none)\n"
            "ERROR: No matching distribution found for setuptools",
            "No network",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
            "device",
            "The disk is full",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file "
            "system: '/srv/lwlive/.venv/lib/python3.11/site-packages/torch'",
            "cannot be written to",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from "
            "versions: none)\nERROR: No matching distribution found for torch==2.13.0",
            "has no build for Python",
        ),
    ],
)
def test_a_known_cause_is_one_sentence(clone: Clone, pip_says: str, we_say: str) -> None:
    (clone.fake / "fails").write_text(pip_says)
    done = clone.run("live.py")
    assert done.returncode == 1
    first, *more = done.stderr.splitlines()
    assert "minutes" in first
    assert len(more) == 1
    assert we_say in more[0]
    assert pip_says.splitlines()[-1] not in more[0]


def test_an_unknown_cause_is_told_in_pips_own_last_lines(clone: Clone) -> None:
    (clone.fake / "fails").write_text("\n".join(f"line {n}" for n in range(30)))
    done = clone.run("live.py")
    assert done.returncode == 1
    assert "line 29" in done.stderr
    assert "line 9\n" not in done.stderr


@pytest.mark.parametrize("script", ["live.py", "test.py"])
def test_a_python_that_is_too_old_is_told_so_in_one_sentence(script: str) -> None:
    pretend = "import runpy, sys; sys.version_info = (3, 10, 9); sys.version = '3.10.9 (main)'; "
    code = pretend + "runpy.run_path(sys.argv[1], run_name='__main__')"
    command = [sys.executable, "-c", code, str(SCRIPTS / script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "lwlive needs Python 3.11 or later, and this is 3.10.9.\n"


@pytest.mark.parametrize("script", ["live.py", "test.py"])
def test_the_check_of_the_python_is_read_by_old_ones(script: str) -> None:
    """No annotation, f-string, keyword-only or starred display: nothing Python 2.7 cannot parse."""
    text = (SCRIPTS / script).read_text(encoding="ascii")
    for node in ast.walk(ast.parse(text, feature_version=(3, 7))):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr | ast.FunctionDef)
        if isinstance(node, ast.List | ast.Tuple):
            assert not any(isinstance(item, ast.Starred) for item in node.elts)
