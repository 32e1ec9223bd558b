"""`lwlive check --config show.toml`: is everything there that the show needs?

One line each: what was looked at, and what was found. The exit code is 1 where something is wrong.
It takes a show's flags, starts no show and changes nothing; a window opens for a moment.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lwlive.cli.looks import looks
from lwlive.cli.sentences import of_import, of_system
from lwlive.params import ControlError

if TYPE_CHECKING:
    from lwlive.config import Config


def main(args: Sequence[str], about: str) -> int:
    """Look, and print a line each; 1 where something is wrong. Ends the process for --help."""
    wrong = 0
    try:
        config = _config(args, about)
    except (ControlError, OSError) as error:
        print(_line("settings", str(error), False))
        return 1
    print(_line("settings", "they can be read", True))
    for what, look in looks(config):
        try:
            found = look()
            if found is not None:
                print(_line(what, found, True))
        except Exception as error:  # whatever it is, the show would meet it, too
            wrong += 1
            print(_line(what, _sentence(error), False))
    print("everything is there" if not wrong else f"{wrong} of these would stop or spoil the show")
    return int(wrong > 0)


def _config(args: Sequence[str], about: str) -> "Config":
    from lwlive.cli import arguments

    config, _ = arguments.parse(args, f"{arguments.PROGRAM} check", about)
    return config


def _line(what: str, found: str, good: bool) -> str:
    from lwlive.logs import one_line

    return f"{'ok   ' if good else 'WRONG'}  {what}: {one_line(found)}"


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return of_system(error, "this")
    return of_import(error) if isinstance(error, ImportError) else str(error)
