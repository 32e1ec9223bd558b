"""What is printed for the asking: presets, keys, addresses, words, a file of settings.

Each is derived from the declarations, and imported only when it is asked for.
"""

from collections.abc import Callable
from pathlib import Path


def _presets() -> str:
    from lwlive import preset

    known = preset.listed(Path("."))
    rows = [f"{i + 1 if i < 9 else ' '}  {path.stem}" for i, path in enumerate(known)]
    return "\n".join(["Presets, with their keys in the window:", *rows])


def _keys() -> str:
    from lwlive.stage.sources.keys import KEYS

    wide = max(len(key.label) for key in KEYS)
    rows = [f"  {key.label:<{wide}}  {key.help.replace('`', '')}" for key in KEYS]
    return "\n".join(["Keys of the window:", *rows])


def _osc_addresses() -> str:
    from lwlive.stage.sources.osc.addresses import describe

    return describe()


def _ember() -> str:
    from lwlive.cli.vocabulary import table

    return table()


def _config() -> str:
    from lwlive.cli.showfile import written

    return written()


def log(path: Path | None) -> str:
    """The last lines of a log: the one named, or of the show that wrote last. Raises OSError."""
    from lwlive import logfile
    from lwlive.recent import KEPT

    if path is not None:
        path.stat()  # a name that is wrong raises
    lines = logfile.tail(KEPT, path)
    if not lines:
        return f"There is no log in {logfile.folder()} yet; every show writes one."
    return "\n".join(lines)


LISTS: dict[str, Callable[[], str]] = {
    "presets": _presets,
    "keys": _keys,
    "osc": _osc_addresses,
    "ember": _ember,
    "config": _config,
}
