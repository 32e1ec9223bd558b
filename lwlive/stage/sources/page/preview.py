"""The preview: the newest picture as a JPEG, encoded once for everybody, while somebody looks.

Runs in the page's process; the encoding runs in a thread of its own there. Pillow is the encoder.
"""

import asyncio
import io

from PIL import Image

from lwlive.ring import Pixels
from lwlive.stage.sources.page.board import Board

LOOK_S = 1 / 60  # between two looks at the board
ALONE_S = 0.1  # the same while nobody looks
QUALITY = 80


class Preview:
    """The newest picture. `number` grows with every one."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._seen = 0  # of the board
        self.number = 0
        self.jpeg = b""

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S if self._board.looking else ALONE_S)
            if self._board.looking and (found := self._board.picture(self._seen)) is not None:
                self._seen, pixels = found
                self.jpeg = await loop.run_in_executor(None, encoded, pixels)
                self.number += 1


def encoded(pixels: Pixels) -> bytes:
    """A picture as a JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
