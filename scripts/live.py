"""The show in one command: python3 scripts/live.py [flags of lwlive], from any folder.

Makes .venv, installs lwlive, compiles the built-in model for this machine, and starts the show.
Without a compiler, or where compiling fails, that is said and the show starts all the same.
Any Python can read this file, so that one that is too old hears so.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - read by Pythons that cannot read the next import
    sys.exit("lwlive needs Python 3.11 or later, and this is " + sys.version.split()[0] + ".")

import os
import time

import environment

if __name__ == "__main__":
    lwlive = environment.program("lwlive")
    if environment.prepare():
        environment.attempt(lwlive, "models", "build", "ember")
        os.environ["LWLIVE_LAUNCHED"] = str(time.time())
    environment.start(lwlive, *sys.argv[1:])
