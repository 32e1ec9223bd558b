"""What people at the page and outputs cost a show: late frames without, with and again without.

    python scripts/late.py page            # five phones look at the preview
    python scripts/late.py outputs         # NDI, a stream over UDP and a recording together
    python scripts/late.py page outputs --rounds 3 -- --size 512x512

One show on ember without a window, 60 frames/s. Each round is a part without and one with; a last
part without follows. Switching on belongs to the part with. A late frame was either not there yet
(the engine had too little of the cores) or its tick passed while the one before still went on (the
stage had). Who looks and who receives would be other machines: here they have the lowest priority,
and what they take is told. A phone hears and takes everything, as a browser does, without drawing
it. Other programs on the machine make frames late as well: only a quiet one tells anything.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
SHOW = ["--headless", "--page", "--osc-port", "0", "--page-port", "0", "--fps", "60"]
WARM_S = 8.0  # before anything is counted
LOOK, SEEN = '{"look": true}', '{"seen": 1}'
NDI = "late-frames"  # the sender's name
RECEIVING = f"""
import os
os.nice(19)
import NDIlib
NDIlib.initialize()
wanted = NDIlib.FindCreate()
wanted.extra_ips = "127.0.0.1"
finder = NDIlib.find_create_v2(wanted)
found = []
while not found:
    NDIlib.find_wait_for_sources(finder, 500)
    found = [one for one in NDIlib.find_get_current_sources(finder) if {NDI!r} in one.ndi_name]
receiver = NDIlib.recv_create_v3()
NDIlib.recv_connect(receiver, found[0])
while True:
    kind, picture, sound, data = NDIlib.recv_capture_v2(receiver, 500)
    if kind == NDIlib.FRAME_TYPE_VIDEO:
        NDIlib.recv_free_video_v2(receiver, picture)
        os.write(1, b".")
"""


def main() -> None:
    """Measure and print a line for each part, and one of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="+", choices=["page", "outputs"])
    parser.add_argument("--phones", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part")
    parser.add_argument("flags", nargs="*", help="for the show, after --")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Drain() as drain:
        command = [sys.executable, "-m", "lwlive", *SHOW, "--folder", folder]
        if "outputs" in told.what:
            command += ["--ndi", NDI, "--ndi-address", "127.0.0.1"] if find_spec("NDIlib") else []
            command += ["--stream", f"udp://127.0.0.1:{drain.port}"]
        show = subprocess.Popen(
            [*command, *told.flags], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        try:
            assert show.stderr is not None
            found = (re.search(r"the page is at (\S+)", line) for line in show.stderr)
            url = next(one[1] for one in found if one is not None)
            os.nice(19)  # what runs in this process would be other machines
            drain.start()
            asyncio.run(measured(url, told, drain))
        finally:
            show.terminate()
            show.wait(10)


class Drain:
    """Takes what comes over UDP and counts it, in a thread of its own: a receiver of a stream."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port, self.bytes = self._socket.getsockname()[1], 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Drain":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                self.bytes += len(self._socket.recv(65536))


async def measured(url: str, told: argparse.Namespace, drain: "Drain") -> None:
    """The parts, one after the other."""
    rows: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session:
        await switched(session, url, told.what, on=False)
        while (await figures(session, url)).get("up") != 1:
            await asyncio.sleep(0.5)
        await asyncio.sleep(WARM_S)
        for part in range(2 * told.rounds + 1):
            row = await played(session, url, told, drain, beside=bool(part % 2))
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    print(json.dumps(rows))


async def played(
    session: aiohttp.ClientSession, url: str, told: argparse.Namespace, drain: "Drain", beside: bool
) -> dict[str, Any]:
    """One part and its figures."""
    pictures, bytes_before = [0], drain.bytes
    async with AsyncExitStack() as stack:
        before = await figures(session, url)
        received = None
        if beside:
            received = await stack.enter_async_context(company(session, url, told, pictures))
        await asyncio.sleep(told.seconds)
        after = await figures(session, url)
        at_ndi = received() if received is not None else 0
    gone = {name: round(after[name] - before[name]) for name in ("late_total", "skipped_total")}
    row: dict[str, Any] = {
        "beside": " and ".join(told.what) if beside else "nothing",
        "frames": round(told.seconds * 60),
        "late": gone["late_total"],
        "of_those_skipped": gone["skipped_total"],
        "sampled": round(after["fps_sampled"]),
        "load": round(os.getloadavg()[0], 1),
    }
    if beside and "page" in told.what:
        row["pictures_a_phone"] = round(pictures[0] / told.seconds / told.phones, 1)
    if beside and "outputs" in told.what:
        row["stream_mbit"] = round((drain.bytes - bytes_before) * 8e-6 / told.seconds, 1)
        row["ndi_received"] = round(at_ndi / told.seconds, 1)
    await asyncio.sleep(2.0)  # files are closed, children end
    return row


@asynccontextmanager
async def company(
    session: aiohttp.ClientSession, url: str, told: argparse.Namespace, pictures: list[int]
) -> AsyncIterator[Any]:
    """Whoever is there in a part with; gives what counts the pictures that came by NDI."""
    tasks, receiver = [], None
    if "page" in told.what:
        tasks = [asyncio.create_task(phone(session, url, pictures)) for _ in range(told.phones)]
    if "outputs" in told.what:
        await switched(session, url, told.what, on=True)
        if find_spec("NDIlib"):
            receiver = subprocess.Popen([sys.executable, "-c", RECEIVING], stdout=subprocess.PIPE)
            assert receiver.stdout is not None
            os.set_blocking(receiver.stdout.fileno(), False)

    def received() -> int:
        if receiver is None or receiver.stdout is None:
            return 0
        return len(receiver.stdout.read() or b"")

    try:
        yield received
    finally:
        for task in tasks:
            task.cancel()
        if receiver is not None:
            receiver.kill()
            receiver.wait()
        await switched(session, url, told.what, on=False)


async def switched(session: aiohttp.ClientSession, url: str, what: list[str], on: bool) -> None:
    """Turn the outputs on or off, as the page does."""
    if "outputs" not in what:
        return
    async with session.ws_connect(f"{url}ws") as socket:
        for address in ("output/ndi", "output/stream", "record"):
            await socket.send_str(json.dumps({"do": [f"/lwlive/{address}", int(on)]}))
        await asyncio.sleep(0.2)


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
