"""Every test in one command: python3 scripts/test.py [flags of pytest], from any folder.

Makes .venv, installs lwlive and the test tools, and runs pytest at the root of the repository:
paths among the flags count from there. Any Python can read this file, so that one that is too old
hears so.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - read by Pythons that cannot read the next import
    sys.exit("lwlive needs Python 3.11 or later, and this is " + sys.version.split()[0] + ".")

import environment

if __name__ == "__main__":
    environment.prepare("test")
    os.chdir(environment.ROOT)
    environment.start(environment.program("python"), "-m", "pytest", *sys.argv[1:])
