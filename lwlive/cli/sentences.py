"""Errors of the system and of imports as sentences for the person at the desk."""

import sys


def of_system(error: OSError, what: str) -> str:
    """What the system says, as a sentence."""
    name = str(error.filename) if error.filename is not None else what
    name = name if len(name) <= 200 else f"{name[:197]}..."
    return f"{name}: {error.strerror or error}"


def of_import(error: ImportError) -> str:
    """What is missing, as a sentence; some of our own errors are one already."""
    if error.name is None:
        return str(error)
    return (
        f"{error}: the installation is not complete; install lwlive again, in this Python: "
        f"{sys.executable}"
    )
