"""The QR code: what is shown is what a reader finds."""

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from lwlive.stage.qrcode import Code

URL = "http://192.168.178.123:7770/page/geheim-geheim-16/"
CODE = Code.of(URL)


@pytest.mark.parametrize("side", [60, 400, 1000])
def test_a_reader_finds_the_text_in_the_picture(side: int, tmp_path: Path) -> None:
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg is not installed (Debian: zbar-tools)")
    pixels = CODE.pixels(side)
    assert pixels.shape[0] == pixels.shape[1] <= side
    Image.fromarray(pixels).resize((600, 600), Image.Resampling.NEAREST).save(tmp_path / "qr.png")
    command = ["zbarimg", "-q", "--raw", "--nodbus", str(tmp_path / "qr.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == URL


def test_a_terminal_shows_the_same_cells() -> None:
    of_one = {"█": "00", "▀": "01", "▄": "10", " ": "11"}
    lines = CODE.letters().split("\n")
    rows = ["".join(of_one[c][half] for c in line) for line in lines for half in (0, 1)]
    assert tuple(rows[: len(CODE.rows)]) == CODE.rows
    assert set("".join(rows[len(CODE.rows) :])) <= {"0"}


def test_the_quiet_zone_is_light() -> None:
    assert {row[:3] for row in CODE.rows} == {row[-3:] for row in CODE.rows} == {"000"}
    assert set("".join(CODE.rows[:3] + CODE.rows[-3:])) == {"0"}
