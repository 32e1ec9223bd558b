"""What phones cost a show: late frames without, with and again without people looking at the page.

    python scripts/phones.py [PHONES [FLAG ...]]    # five unless told; flags go to the show

A show on ember without a window, 60 frames/s. Every phone is a WebSocket that looks at the preview
and hears everything, as a browser does, without drawing it. Late frames are read from /metrics.
Other programs on the machine make frames late as well: only a quiet one tells anything.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
SHOW = ["--headless", "--page", "--osc-port", "0", "--page-port", "0", "--fps", "60"]
WARM_S, WINDOW_S = 8.0, 20.0  # before anything is counted; each part
LOOK, SEEN = '{"look": true}', '{"seen": 1}'


def main() -> None:
    """Measure and print a line for each part."""
    phones = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lwlive", *SHOW, "--folder", folder, *sys.argv[2:]]
        show = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            assert show.stderr is not None
            found = (re.search(r"the page is at (\S+)", line) for line in show.stderr)
            url = next(one[1] for one in found if one is not None)
            asyncio.run(measured(url, phones))
        finally:
            show.terminate()
            show.wait(10)


async def measured(url: str, phones: int) -> None:
    """The three parts, one after the other."""
    async with aiohttp.ClientSession() as session:
        while (await figures(session, url)).get("up") != 1:
            await asyncio.sleep(0.5)
        await asyncio.sleep(WARM_S)
        for looking in (0, phones, 0):
            seen = [0]
            tasks = [asyncio.create_task(phone(session, url, seen)) for _ in range(looking)]
            await asyncio.sleep(1.0)
            before, pictures = await figures(session, url), seen[0]
            await asyncio.sleep(WINDOW_S)
            after = await figures(session, url)
            rate = (seen[0] - pictures) / WINDOW_S / max(1, looking)
            for task in tasks:
                task.cancel()
            late = after["late_total"] - before["late_total"]
            print(
                f"{looking} phones: {late:.0f} of {60 * WINDOW_S:.0f} frames late, "
                f"{after['fps_sampled']:.0f} sampled in the last second, "
                f"{rate:.1f} pictures/s a phone, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


async def phone(session: aiohttp.ClientSession, url: str, seen: list[int]) -> None:
    """Somebody who looks."""
    async with session.ws_connect(f"{url}ws") as socket:
        await socket.send_str(LOOK)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                seen[0] += 1
                await socket.send_str(SEEN)


async def figures(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """What /metrics says, by name."""
    async with session.get(f"{url.partition('/page/')[0]}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r"^lwlive_(\w+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


if __name__ == "__main__":
    main()
