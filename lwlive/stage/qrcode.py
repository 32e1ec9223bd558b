"""A QR code: a text that a phone reads from a window or a terminal.

The only file that knows segno, which is imported when a code is made. It knows no page.
"""

from typing import NamedTuple

import numpy as np

from lwlive.ring import Pixels

QUIET = 3  # cells of light around it, which readers want


class Code(NamedTuple):
    """A text and its code: rows of cells, "1" for dark ones, with the quiet zone."""

    text: str
    rows: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Code":
        """The code of a text. Raises ImportError where the extra `page` is not installed."""
        import segno

        cells = segno.make(text, micro=False).matrix_iter(border=QUIET)
        return cls(text, tuple("".join(str(int(cell)) for cell in row) for row in cells))

    def letters(self) -> str:
        """For a terminal: two rows a line, light on dark."""
        rows = [*self.rows, "0" * len(self.rows[0])][: len(self.rows) + len(self.rows) % 2]
        of_two = {"00": "█", "01": "▀", "10": "▄", "11": " "}
        pairs = zip(rows[::2], rows[1::2], strict=True)
        return "\n".join("".join(of_two[a + b] for a, b in zip(*two, strict=True)) for two in pairs)

    def pixels(self, side: int) -> Pixels:
        """As a picture [H, W, 3], at most so many pixels a side, a pixel a cell at least."""
        cells = np.array([[cell == "0" for cell in row] for row in self.rows], np.uint8)
        large = max(1, side // len(cells))
        grey = 255 * cells.repeat(large, 0).repeat(large, 1)
        return grey[..., None].repeat(3, axis=2)
