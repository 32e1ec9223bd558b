"""The clients: who has the page open or listens by OSCQuery, what each wants and knows.

Runs in the page's process, in its one loop. A client gets the newest of everything when it can
take it, and what it missed meanwhile is never queued: one that is slow gets less, and one that
takes nothing is dropped. This file knows nothing of paths, secrets or what a message means.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from lwlive.params import ControlError
from lwlive.stage.sources.osc.subscribers import packed
from lwlive.stage.sources.page.access import CLIENTS, SLOW_S, TOO_MANY, Budget
from lwlive.stage.sources.page.asking import message
from lwlive.stage.sources.page.oscquery import value_at
from lwlive.stage.sources.page.preview import Preview
from lwlive.stage.sources.page.state import State, changed

CREDIT = 2  # pictures on the way to a client that it has not said it has seen
TOLD_S = 1 / 30  # least time between two tellings
OWN = ("answers", "log")  # of the state: told in parts, to those who do not have them

Abort = Callable[[], None]  # ends a connection, whatever is still to be sent
Heard = Callable[[int, Any], str | None]  # client, message -> a sentence where it is refused


class Clients:
    """All of them. `count` tells the show how many want to know, and how many to see."""

    def __init__(self, preview: Preview, count: Callable[[int, int], None]) -> None:
        self.preview, self._count = preview, count
        self.state: State = {}
        self._all: set[Client] = set()
        self.numbers = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def full(self) -> bool:
        """Whether nobody more is let in."""
        return len(self._all) >= CLIENTS

    def add(self, client: "Client") -> None:
        """It is there."""
        self._all.add(client)
        self.counted()

    def remove(self, client: "Client") -> None:
        """It is gone."""
        self._all.discard(client)
        self.counted()

    def counted(self) -> None:
        """Let the show know how many there are."""
        self._count(len(self._all), sum(client.looking for client in self._all))

    def wake(self) -> None:
        """There is something new to tell."""
        for client in self._all:
            client.wake.set()

    def tell(self, message: dict[str, Any]) -> None:
        """Something for everybody who has the page open."""
        for client in self._all:
            client.extra.update(message)
            client.wake.set()


class Client:
    """One WebSocket. What comes in goes to `heard`, what goes out is made by `_news`."""

    def __init__(
        self, clients: Clients, socket: web.WebSocketResponse, abort: Abort, heard: Heard
    ) -> None:
        self.clients, self.socket, self._abort, self._heard = clients, socket, abort, heard
        clients.numbers += 1
        self.number = clients.numbers
        self.wake = asyncio.Event()
        self.extra: dict[str, Any] = {}
        self.looking = False
        self._budget = Budget(time.monotonic())

    async def serve(self) -> None:
        """From its first message to its last."""
        if self.clients.full:
            await self._refuse()
            return
        self.clients.add(self)
        telling = asyncio.create_task(self._tell())
        try:
            await self._listen()
        finally:
            self.clients.remove(self)
            telling.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await telling

    async def _refuse(self) -> None:
        with suppress(Exception):
            await self.socket.send_str(json.dumps({"full": TOO_MANY}))
            await self.socket.close(code=1013, message=TOO_MANY.encode()[:120])

    async def _listen(self) -> None:
        async for came in self.socket:
            if came.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if not self._budget.take(time.monotonic()):
                await self.socket.close(code=1008, message=b"too many messages")
                return
            why = self._hear(came.data)
            if why is not None:
                self.extra["no"] = why
                self.wake.set()

    async def _tell(self) -> None:
        """What is new, as fast as the client takes it."""
        try:
            while True:
                await self.wake.wait()
                self.wake.clear()
                for one in self._news():
                    await asyncio.wait_for(self._send(one), SLOW_S)
                await asyncio.sleep(TOLD_S / 2)
        except (TimeoutError, ConnectionError, RuntimeError):  # it takes nothing, or is gone
            self._abort()

    async def _send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.socket.send_str(data)
        else:
            await self.socket.send_bytes(data)

    def _hear(self, data: str | bytes) -> str | None:
        raise NotImplementedError

    def _news(self) -> list[str | bytes]:
        raise NotImplementedError


class Viewer(Client):
    """Somebody with the page open."""

    def __init__(
        self, clients: Clients, socket: web.WebSocketResponse, abort: Abort, heard: Heard
    ) -> None:
        super().__init__(clients, socket, abort, heard)
        self._told: State = {}
        self._answered = max((one[0] for one in clients.state.get("answers", ())), default=0)
        self._line = 0  # number of the newest one of the log that was sent
        self._picture = 0  # number of the newest one sent
        self._credit = CREDIT

    def _hear(self, data: str | bytes) -> str | None:
        if not isinstance(data, str):
            return "a message of the page is text"
        try:
            found = message(data)
        except ControlError as error:
            return str(error)
        if "seen" in found:
            self._credit = min(CREDIT, self._credit + 1)
            self.wake.set()
        if "look" in found:
            self.looking = found["look"] is True
            self._credit = CREDIT
            self.clients.counted()
        return self._heard(self.number, found) if "do" in found else None

    def _news(self) -> list[str | bytes]:
        state = {k: v for k, v in self.clients.state.items() if k not in OWN}
        news = changed(self._told, state)
        self._told = state
        news |= self.extra
        self.extra = {}
        for number, client, why in self.clients.state.get("answers", ()):
            if number > self._answered:
                self._answered = number
                if client == self.number:
                    news["no"] = why
        lines = [one for one in self.clients.state.get("log", ()) if one[0] > self._line]
        if lines:
            self._line, news["log"] = lines[-1][0], lines
        found: list[str | bytes] = []
        if news:
            found.append(json.dumps(news | {"t": time.perf_counter()}))
        preview = self.clients.preview
        if self.looking and self._credit > 0 and preview.number > self._picture:
            self._picture = preview.number
            self._credit -= 1
            found.append(preview.jpeg)
        return found


class Listener(Client):
    """A program that listens by OSCQuery: the paths it named, and what it knows of them."""

    MOST = 1000  # paths

    def __init__(
        self, clients: Clients, socket: web.WebSocketResponse, abort: Abort, heard: Heard
    ) -> None:
        super().__init__(clients, socket, abort, heard)
        self._told: dict[str, Any] = {}

    def _hear(self, data: str | bytes) -> str | None:
        if isinstance(data, bytes):
            return self._heard(self.number, data)
        try:
            found = message(data)
        except ControlError:
            return None
        path = found.get("DATA")
        if isinstance(path, str) and found.get("COMMAND") == "LISTEN":
            if len(self._told) < self.MOST:
                self._told[path[:255]] = None
                self.wake.set()
        elif isinstance(path, str) and found.get("COMMAND") == "IGNORE":
            self._told.pop(path[:255], None)
        return None

    def _news(self) -> list[str | bytes]:
        self.extra = {}
        found: list[str | bytes] = []
        for path, told in self._told.items():
            value = value_at(self.clients.state, path)
            if value is not None and value != told:
                self._told[path] = value
                packet = packed(path, value)
                if packet is not None:
                    found.append(packet)
        return found
