"""The command line: the first word says what to do.

Imports are inside functions: nothing should wait for what it does not need, and Ctrl-C in the first
tenth of a second finds `main` ready for it.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lwlive import __version__
from lwlive.cli.sentences import of_import, of_system
from lwlive.spelling import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = """A live instrument that walks through an image diffusion model without stopping.
Without a command it starts the show."""
COMMANDS = {
    "render": "write a walk to disk: frames, a movie, or both",
    "models": "list the models known by name; fetch one, compile one",
    "presets": "list the presets",
    "cues": "check a cue list, and print it",
    "keys": "list the keys of the window",
    "osc": "list the OSC addresses",
    "midi": "list the MIDI ports, and show what arrives",
    "audio": "list the audio inputs, with a live meter",
    "ember": "list the words that the built-in model knows",
    "config": "print a file for --config, with every default and its help",
    "log": "show the last hundred lines of a show's log",
    "check": "see that everything a show needs is there, before the doors open",
    "service": "print what starts a show at boot; --install enables it",
    "guard": "start a show, and start it again whenever it dies or hangs",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run lwlive; returns the exit code, 1 for anything that a sentence was printed for.

    Ctrl-C before the show has begun gives 130, as shells have it.
    """
    try:
        return _told(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # of a list, when `head` has read enough of it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the interpreter's last flush
        return 1


def _told(args: list[str]) -> int:
    from lwlive.checkpoint import ModelError
    from lwlive.params import ControlError

    try:
        return _do(args)
    except (ControlError, ModelError) as error:
        sentence = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        sentence = of_system(error, "this")
    except ImportError as error:
        sentence = of_import(error)
    from lwlive.logs import one_line

    print(f"lwlive: {one_line(sentence)}", file=sys.stderr)
    return 1


def _do(args: list[str]) -> int:
    """What the first word asks for. Raises ControlError and ModelError."""
    if args[:1] == ["guard"]:
        from lwlive.cli import guard

        return guard.main(_guarded(args[1:]))
    from lwlive.cli import arguments, flags, lists
    from lwlive.params import ControlError

    word, rest = (args[0], args[1:]) if args else ("", [])
    if word == "--version":
        print(f"lwlive {__version__}")
    elif word == "render":
        from lwlive.cli import render

        return render.main(rest)
    elif word == "models":
        from lwlive.cli.models import main as models

        models(rest, arguments.parse)
    elif word == "midi":
        from lwlive.cli.midi import main as midi

        midi(rest)
    elif word == "cues":
        from lwlive.cli.cues import main as cues

        cues(rest)
    elif word == "audio":
        from lwlive.cli.audio import main as audio

        return audio(rest)
    elif word in ("check", "service"):
        from lwlive.cli import check, service

        about = COMMANDS[word][:1].upper() + COMMANDS[word][1:] + "."
        return {"check": check.main, "service": service.main}[word](rest, about)
    elif word == "log":
        from lwlive.cli.lists import log

        print(log(_log_wanted(rest)))
    elif word in lists.LISTS:
        flags.read(
            f"lwlive {word}", COMMANDS[word][:1].upper() + COMMANDS[word][1:] + ".", {}, rest
        )
        print(lists.LISTS[word]())
    elif word and not word.startswith("-"):
        near = did_you_mean(word, COMMANDS)
        known = ", ".join(COMMANDS)
        raise ControlError(f"there is no command {flags.short(word)}{near}; there are {known}")
    else:
        from lwlive.cli import safe

        return safe.start(args, ABOUT, COMMANDS)
    return 0


def _guarded(rest: list[str]) -> list[str]:
    """The flags of the show behind `lwlive guard --`. Ends the process for --help."""
    if rest[:1] == ["--"]:  # the usual case, for which a guard loads next to nothing
        return rest[1:]
    from lwlive.cli import flags

    cut = rest.index("--") if "--" in rest else len(rest)
    about = (
        COMMANDS["guard"][:1].upper() + COMMANDS["guard"][1:] + ".\n\n"
        "The show's flags follow two dashes: lwlive guard -- --config show.toml --state show.json"
    )
    flags.read("lwlive guard", about, {}, rest[:cut])
    return rest[cut + 1 :]


def _log_wanted(rest: list[str]) -> "Path | None":
    """The log that `lwlive log` shows. Ends the process for --help."""
    from pathlib import Path

    from lwlive.cli import flags

    about = COMMANDS["log"][:1].upper() + COMMANDS["log"][1:] + "."
    given = flags.read("lwlive log", about, {}, rest, ["[FILE]"])
    return Path(given["file"]) if "file" in given else None
