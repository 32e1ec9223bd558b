"""Spelling: what somebody may have meant by a word that nothing is called."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """', did you mean X?', or nothing where no known word is like this one."""
    close = get_close_matches(word[:60], list(known), 1, likeness)
    return f", did you mean {close[0]}?" if close else ""
