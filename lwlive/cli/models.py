"""`lwlive models`: the models known by name; fetch one, compile one ahead of the show.

Apart from the show; torch is imported only where something is compiled.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lwlive import hub
from lwlive.checkpoint import ModelError, check
from lwlive.cli import flags
from lwlive.config import Config
from lwlive.openmp import spin_briefly
from lwlive.params import ControlError, Params
from lwlive.spelling import did_you_mean

PROGRAM = "lwlive models"
ABOUT = "List the models known by name."
COMMANDS = {
    "pull": "fetch a model and what it needs",
    "build": "compile a model for this machine, ahead of the show",
}
PULL = "Fetch a model by its name in `lwlive models`, or a repository of the hub."
BUILD = """Compile a model for this machine, ahead of the show, as a show with these flags would.
Without a NAME: list what is built."""


class Parse(Protocol):
    """Reads the flags of a show; `arguments.parse` is one."""

    def __call__(
        self, args: Sequence[str], program: str, about: str, words: Sequence[str]
    ) -> tuple[Config, Params]: ...


def main(args: Sequence[str], parse: Parse) -> None:
    """Do what follows `lwlive models`. Raises ControlError and ModelError."""
    word, rest = (args[0], args[1:]) if args else ("", ())
    if word == "pull":
        name = flags.read(f"{PROGRAM} pull", PULL, {}, rest, ["NAME"])["name"]
        print(f"{name} is in {_pull(name)}")
    elif word == "build":
        named = bool(rest) and not rest[0].startswith("-")
        helped = "--help" in rest or "-h" in rest
        words = ["[NAME]"] if named or helped else []  # a name stands first, in front of all flags
        config, params = parse(rest, f"{PROGRAM} build", BUILD, words)
        if named:
            _build(config, params)
        else:
            print(_built(hub.cache_of(config)))
    elif word and not word.startswith("-"):
        near = did_you_mean(word, COMMANDS)
        known = " and ".join(COMMANDS)
        raise ControlError(f"there is no `{PROGRAM} {word[:60]}`{near}; there are {known}")
    else:
        flags.read(PROGRAM, ABOUT, {}, args, commands=COMMANDS)
        print(hub.table())


def _pull(name: str) -> Path:
    """Fetch a model and its tiny decoder, also where an older snapshot is here."""
    repo = hub.TABLE[name].repo if name in hub.TABLE else name
    if not hub.REPO.fullmatch(repo):
        raise ModelError(f"{flags.short(name)} is not a model of the hub: {hub.OTHERS}")
    folder = hub.pull(repo, print)
    check(folder)
    hub.additions(Config(model=name), folder, print)
    return folder


def _built(cache: Path) -> str:
    """The packages that lie in the cache, a line each."""
    from importlib.metadata import version

    lines = []
    for place in sorted((cache / "packages").glob("*/about.json")):
        try:
            about = json.loads(place.read_bytes())["about"]
            one, decoding = json.loads((place.parent / "costs.json").read_bytes())
            rate, (width, height) = about["batch"] / (one + decoding), about["size"]
            told = f"{about['name']}, {width}x{height}, batch {about['batch']}"
            told += f", {about['kind']['precision']} on {about['device']}: {rate:.0f} frames/s"
            told += f" in one step, {hub.size(place.parent) / 2**20:.0f} MB"
            other = about["torch"] != version("torch")
        except (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            lines.append(f"{place.parent} is damaged; the next show or build makes it again")
            continue
        lines.append(told + (f", of torch {about['torch']}, which is not here" if other else ""))
    return "\n".join(lines or [f"nothing is built in {cache}"])


def _build(config: Config, params: Params) -> None:
    """Compile a model's packages for this machine, as a show with these flags would.

    The machine is measured again before.
    """
    import warnings

    spin_briefly(os.environ)  # before torch is imported: measured as a show would play
    from lwlive.engine.compiled.build import build
    from lwlive.engine.compiled.child import compiler
    from lwlive.engine.tuning.choose import forget, plan

    if compiler() is None:
        raise ModelError("there is no C++ compiler here: install g++ or clang++, then build again")
    opened = hub.opened(config, print)
    size, cache = opened.size, opened.cache
    warnings.simplefilter("ignore", FutureWarning)  # the compiler's, about itself
    forget(config, opened)
    while True:  # until none that is not built yet is expected to serve better
        want, _ = plan(config, opened, params, print, thorough=True)
        about = f"{config.model}, {size}, batch {want.batch}, {want.kind.precision}"
        place = want.place(cache)
        if found := want.costs(cache):
            one, decoding = (1e3 * spent / want.batch for spent in found)
            print(f"{about}: built; a step takes {one:.1f} ms a frame, decoding {decoding:.1f} ms")
            return
        if trouble := want.trouble(cache):
            raise ModelError(f"{about} cannot be compiled here: {trouble}")
        print(f"{about}: building", flush=True)
        try:
            build(want, place)
        except (OSError, RuntimeError) as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(f"{about} cannot be compiled here: {why[-1]}") from error
