"""Where the program begins, and `python -m lwlive`. Ctrl-C in its first moments ends it quietly.

While the libraries are imported nothing has begun that would have to be ended in order, and an
interrupt in the midst of an import may be lost or leave a traceback, so the system answers it.
"""

import signal
import sys


def main() -> int:
    """Run lwlive; returns the exit code."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if plain:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lwlive.cli import subcommands

    if sys.argv[1:2] != ["guard"]:
        from lwlive.cli import arguments, perform  # noqa: F401 - what a show needs first

    if plain:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subcommands.main()


if __name__ == "__main__":
    sys.exit(main())
