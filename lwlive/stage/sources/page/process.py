"""The page's process: the web server, what it reads from the board, and what it sends up the pipe.

The main thread runs one loop, which waits for sockets and timers. A second thread waits for the
pipe: it ends when the show says so or is gone, and so does this process. Commands go up in
batches, the newest of each address, however many were asked for.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Container
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwlive.commands import Command, Fire
from lwlive.precedence import TELLING, behind
from lwlive.stage.sources.listening import BACKLOG
from lwlive.stage.sources.osc.sockets import networks
from lwlive.stage.sources.page import health
from lwlive.stage.sources.page.access import CONNECTIONS, OPEN_S, Access
from lwlive.stage.sources.page.address import is_open, own_addresses
from lwlive.stage.sources.page.announce import announced
from lwlive.stage.sources.page.board import Board
from lwlive.stage.sources.page.clients import Clients
from lwlive.stage.sources.page.page import Asked, Order
from lwlive.stage.sources.page.preview import Preview
from lwlive.stage.sources.page.server import Server
from lwlive.stage.sources.page.state import read

if TYPE_CHECKING:
    from aiohttp import web

LOOK_S = 1 / 60  # between two looks at the board
ALONE_S = 0.2  # the same while nobody is there
BATCH_S = 1 / 60  # between two batches of commands
PRESETS_S = 5.0  # between two looks at the folder of presets
SWEEP_S = 1.0  # between two looks at the connections

_log = logging.getLogger(__name__)


def run(order: Order, pipe: "Connection[Any, Any]") -> None:
    """Entry of the spawned child. Ends when the show says so, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the show's to answer
    behind(TELLING)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # what strangers send is no news
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        asyncio.run(Process(order, pipe).serve())
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error}")


class Process:
    """One life of the page's process."""

    def __init__(self, order: Order, pipe: "Connection[Any, Any]") -> None:
        self._order, self._pipe = order, pipe
        self._board = Board.attach(order.board)
        self._asked: dict[str, Asked] = {}
        self._came = asyncio.Event()
        preview = Preview(self._board)
        self._preview, self._clients = preview, Clients(preview, self._counted)
        self._access = Access(
            order.address,
            order.osc_port is not None,
            is_open(order.osc_host),
            networks(order.osc_allow),
        )
        self._server = Server(
            self._access,
            (order.osc_host, order.osc_port),
            self._clients,
            lambda: health.Times(*self._board.times),
            Path(order.folder),
            self._ask,
        )

    async def serve(self) -> None:
        """Until the pipe ends."""
        from aiohttp import web

        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def wait_for_the_end() -> None:
            with contextlib.suppress(EOFError, OSError):
                self._pipe.recv()
            with contextlib.suppress(RuntimeError):  # the loop is over already
                loop.call_soon_threadsafe(over.set)

        threading.Thread(target=wait_for_the_end, name="pipe", daemon=True).start()
        await self._server.look_at_presets()
        runner = web.AppRunner(
            self._server.app(),
            handle_signals=False,
            access_log=None,
            keepalive_timeout=OPEN_S,
            shutdown_timeout=0.1,
        )
        await runner.setup()
        for one in self._order.sockets:
            await web.SockSite(runner, one, backlog=BACKLOG).start()
        jobs: tuple[Callable[[], Any], ...] = (
            self._preview.run,
            self._follow,
            self._send,
            self._look_at_presets,
            lambda: sweep(runner, self._server.upgraded),
            self._announce,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job()) for job in jobs]
            self._pipe.send(None)
            await over.wait()
            for task in tasks:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 0.5)
        os._exit(0)  # a thread that reads from a disk that hangs cannot be joined

    def _counted(self, there: int, looking: int) -> None:
        self._board.there, self._board.looking = there, looking

    def _ask(self, key: str, command: Command, client: int, at: float) -> None:
        older = self._asked.pop(key, None)
        if older is not None and isinstance(command, Fire):
            at = older.at  # the first press is the one that is felt
        self._asked[key] = Asked(key, command, client, at)
        self._came.set()

    async def _send(self) -> None:
        """Commands up the pipe. A show that takes none lets them wait here, one for each key."""
        while True:
            await self._came.wait()
            self._came.clear()
            batch, self._asked = list(self._asked.values()), {}
            await asyncio.to_thread(self._pipe.send, batch)
            await asyncio.sleep(BATCH_S)

    async def _follow(self) -> None:
        """The state from the board, to whoever is there."""
        seen, pictures = 0, 0
        while True:
            if (found := self._board.state(seen)) is not None:
                seen, text = found
                self._clients.state = read(text)
            if found is not None or self._preview.number != pictures:
                pictures = self._preview.number
                self._clients.wake()
            await asyncio.sleep(LOOK_S if len(self._clients) else ALONE_S)

    async def _look_at_presets(self) -> None:
        while True:
            await asyncio.sleep(PRESETS_S)
            await self._server.look_at_presets()

    async def _announce(self) -> None:
        """Let programs of the network find the show, where they may use it."""
        order = self._order
        if not self._access.announced or order.osc_port is None:
            return
        try:
            spoken = await announced(order.address.port, order.osc_port, own_addresses())
        except Exception as error:  # no multicast here: those who know the address come anyway
            _log.warning("the show is not announced by zeroconf: %s", error)
            return
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(spoken.async_close(), 0.3)


async def sweep(runner: "web.AppRunner", upgraded: Container[object]) -> None:
    """End connections that are open for long, and the oldest of too many. Clients' stay."""
    since: dict[Any, float] = {}
    while True:
        now = time.monotonic()
        server = runner.server
        assert server is not None
        since = {one: since.get(one, now) for one in server.connections if one not in upgraded}
        oldest = sorted(since, key=lambda one: since[one])
        for i, one in enumerate(oldest):
            if i < len(oldest) - CONNECTIONS or now - since[one] > OPEN_S:
                one.force_close()
                if one.transport is not None:
                    one.transport.abort()
        await asyncio.sleep(SWEEP_S)
