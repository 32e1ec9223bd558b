"""`lwlive ember`: what ember can be told, read from its own folder. No torch here."""

import json
import textwrap

from lwlive.checkpoint import EMBER

WORDS = "words.json"
HEADS = {
    "families": "What is pictured:",
    "colours": "Colours, one to three, and one more for the background, such as `on white`:",
    "modifiers": "How it is to be:",
}
ABOUT = """Words that ember knows, each followed by others that mean the same to it. Any other word
is accepted and means nothing to it. A prompt is a few of them in any order:

  blueberry spaghetti
  glowing gold rings on black
  smoke in violet and jade, soft"""


def vocabulary() -> dict[str, dict[str, list[str]]]:
    """Families, colours and modifiers: each name with all that a prompt may call it."""
    found: dict[str, dict[str, list[str]]] = json.loads((EMBER / WORDS).read_text("utf-8"))
    return found


def table() -> str:
    """Everything ember knows, to be printed."""
    known, parts = vocabulary(), [ABOUT]
    for kind, head in HEADS.items():
        rows = [listed(names) for names in known[kind].values()]
        parts.append("\n".join([head, *rows]))
    return "\n\n".join(parts)


def listed(names: list[str]) -> str:
    """One row: the plain name, then its synonyms, as wide as a terminal."""
    first, *others = names
    return textwrap.fill(
        f"{first:<14} {', '.join(others)}",
        width=100,
        initial_indent="  ",
        subsequent_indent=" " * 17,
        break_long_words=False,
    ).rstrip()
