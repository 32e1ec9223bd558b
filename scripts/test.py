"""Every test in one command: python3 scripts/test.py [flags of pytest], from any folder.

Makes .venv, installs lwlive and the test tools, and runs pytest at the root of the repository:
paths among the flags count from there. Where there are two cores, two tests run at a time, and a
third one that gives way to them (see tests/conftest.py); -n 0 runs them one after another, as a
debugger needs it, and -m "not slow" only the quick ones. Any Python can read this file, so that
one that is too old hears so.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - read by Pythons that cannot read the next import
    sys.exit("lwlive needs Python 3.11 or later, and this is " + sys.version.split()[0] + ".")

import environment

if __name__ == "__main__":
    environment.prepare("test")
    os.chdir(environment.ROOT)
    # Else pytest rewrites every test, and some of its plugins, again in each worker of each run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    count = min(2, os.cpu_count() or 1)
    workers = ["-n", str(3 if count == 2 and hasattr(os, "nice") else count)]
    environment.start(environment.program("python"), "-m", "pytest", *workers, *sys.argv[1:])
