"""OpenMP: how long threads spin is bounded wherever torch is loaded; the user has the last word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lwlive.openmp import BRIEFLY, CHOSEN, spin_briefly


def test_what_no_user_has_chosen_is_set() -> None:
    environment = {"PATH": "/bin"}
    spin_briefly(environment)
    assert environment == {"PATH": "/bin", **BRIEFLY}


@pytest.mark.parametrize("name", CHOSEN)
def test_what_a_user_has_chosen_is_left_alone(name: str) -> None:
    environment = {name: "7"}
    spin_briefly(environment)
    assert environment == {name: "7"}


PROBE = """
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("KMP_BLOCKTIME"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Spy())
from lwlive.cli import subcommands
"""


@pytest.mark.parametrize(
    "words", [["render", "--max-frames", "1", "--name", "a.mp4"], ["models", "build", "ember"]]
)
def test_it_is_set_before_torch_is_imported(words: list[str], tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", f"{PROBE}subcommands.main({[*words, '--cache', str(tmp_path)]})"],
        env={name: value for name, value in os.environ.items() if name not in CHOSEN},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.stdout.split() == list(BRIEFLY.values()), child.stderr


ENGINE = """
import os, sys

from lwlive.cli import wiring
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.stage import engine

def said(order, run):
    print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("KMP_BLOCKTIME"))
    sys.exit()
engine.starter = said
wiring.supply(Config(), None, Controls(Params()), 0.0)
"""


def test_an_engine_inherits_it() -> None:
    child = subprocess.run(
        [sys.executable, "-c", ENGINE],
        env={name: value for name, value in os.environ.items() if name not in CHOSEN},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.stdout.split() == list(BRIEFLY.values()), child.stderr
