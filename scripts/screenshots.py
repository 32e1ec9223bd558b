"""The picture of the page in the README: on a desktop and on a phone, in front of a show on ember.

    python scripts/screenshots.py [FILE]    # presets/page.webp unless another one is named

It starts a show without a window, opens the page in Chromium, plays a little, and puts both
screens beside each other. It needs the extra `test` and Chromium. Run it again when the page
changes.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "presets" / "page.webp"
SHOW = ["--headless", "--page", "--osc-port", "0", "--page-port", "0", "--duration", "120"]
SHOW += ["--preset", "gold"]
PLAYED_MS = 4000  # so that there are pictures, figures and a latency
DESK, PHONE = (1440, 900), (416, 900)  # points; beside each other they are of one height
HEIGHT, GAP = 720, 24  # pixels of the finished picture, and between the two
DARK = (8, 9, 11)


def main() -> None:
    """Make the picture."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    with played() as url, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shots = [shot(browser, url, DESK, touch=False), shot(browser, url, PHONE, touch=True)]
        browser.close()
    small = [one.resize((round(HEIGHT * one.width / one.height), HEIGHT)) for one in shots]
    whole = Image.new("RGB", (sum(one.width for one in small) + GAP, HEIGHT), DARK)
    whole.paste(small[0], (0, 0))
    whole.paste(small[1], (small[0].width + GAP, 0))
    whole.save(path, quality=82, method=6)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


@contextmanager
def played() -> Iterator[str]:
    """A show with a page; yields the page's address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lwlive", *SHOW, "--folder", folder]
        show = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            assert show.stderr is not None
            for line in show.stderr:
                if found := re.search(r"the page is at (\S+)", line):
                    yield found[1]
                    return
            sys.exit("the show ended before it had a page")
        finally:
            show.terminate()
            show.wait(10)


def shot(browser: Browser, url: str, size: tuple[int, int], touch: bool) -> Image.Image:
    """The page as it looks on a screen of this size, in mid-show."""
    width, height = size
    page = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if touch else 1,
        is_mobile=touch,
        has_touch=touch,
    ).new_page()
    page.goto(url)
    page.locator("#picture:not([hidden])").wait_for()
    page.locator("#bar-depth").focus()
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(PLAYED_MS)
    page.evaluate("scrollTo(0, 0)")
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
