"""The rail of a fader that routes move: where the hand has put it, and a mark where it is now.

A rail stands at the end of a line of words, as two numbers after a sign of its own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pygame

SIGN = "\x1f"
WIDE = 6  # letter heights

Marks = tuple[float, float]  # the hand's position and the present one, 0 to 1
Ink = tuple[int, int, int]


def told(hand: float, now: float) -> str:
    """The end of a line with a rail."""
    return f"{SIGN}{hand:.3f} {now:.2f}"


def parted(line: str) -> tuple[str, Marks | None]:
    """A line without its rail, and the rail's marks."""
    words, _, marks = line.partition(SIGN)
    if not marks:
        return words, None
    hand, now = marks.split()
    return words, (float(hand), float(now))


def draw(
    surface: "pygame.Surface", marks: Marks, at: tuple[int, int], em: int, inks: tuple[Ink, Ink]
) -> None:
    """A rail whose left end is in the middle of its line; inks: of the rail and of its mark."""
    import pygame

    x, y = at
    length, thin = WIDE * em, max(1, em // 10)
    surface.fill(inks[0], (x, y - thin // 2, length, thin))
    hand, now = (x + round(mark * (length - thin)) for mark in marks)
    tall = round(0.7 * em)
    surface.fill(inks[0], (hand, y - tall // 2, max(thin, 2 * thin), tall))
    pygame.draw.circle(surface, inks[1], (now, y), max(2, round(0.28 * em)))
