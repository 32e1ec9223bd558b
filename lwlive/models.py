"""`lwlive models`: the models known by name; fetch one, compile one ahead of the show.

Apart from the show; torch is imported only where something is compiled.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from lwlive import hub
from lwlive.checkpoint import ModelError, check, size_of
from lwlive.params import Config, ControlError, Params

USAGE = (
    "say `lwlive models`, `lwlive models pull NAME`, `lwlive models build NAME [flags]`, or "
    "`lwlive models build` for what is built"
)


def main(args: Sequence[str], parse: Callable[[Sequence[str]], tuple[Config, Params]]) -> None:
    """Do what follows `lwlive models`. Raises ControlError and ModelError."""
    if not args:
        print(hub.table())
    elif args[0] == "pull" and len(args) == 2:
        print(f"{args[1]} is in {_pull(args[1])}")
    elif args[0] == "build" and (len(args) == 1 or args[1].startswith("-")):
        print(_built(hub.cache_of(parse(args[1:])[0])))
    elif args[0] == "build":
        _build(*parse(["--model", args[1], *args[2:]]))
    else:
        raise ControlError(f"there is no `lwlive models {' '.join(args)}`: {USAGE}")


def _pull(name: str) -> Path:
    """Fetch a model and its tiny decoder, also where an older snapshot is here."""
    repo = hub.TABLE[name].repo if name in hub.TABLE else name
    if not hub.REPO.fullmatch(repo):
        raise ModelError(f"{name} is no model of the hub: {hub.OTHERS}")
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

    The machine is measured anew before.
    """
    import warnings

    from lwlive.engine.builder import compiler
    from lwlive.engine.packages import build
    from lwlive.engine.ready import forget, plan

    if compiler() is None:
        raise ModelError("there is no C++ compiler here: install g++ or clang++, then build again")
    cache = hub.cache_of(config)
    folder, additions = hub.opened(config, print)
    size = size_of(folder, config.size)
    warnings.simplefilter("ignore", FutureWarning)  # the compiler's, about itself
    forget(config, folder, additions, size, cache)
    while True:  # until none that is not built yet is expected to serve better
        want, _ = plan(config, folder, additions, size, cache, params, print, thorough=True)
        about = f"{config.model}, {size[0]}x{size[1]}, batch {want.batch}, {want.kind.precision}"
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
