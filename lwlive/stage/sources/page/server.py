"""The web server: paths in, answers out. Runs in the page's process, in its one loop.

It takes GET and nothing else. Everything that steers comes over a WebSocket and is checked as OSC
is; this file knows no command. What may be had by whom is in access.py.
"""

import asyncio
import json
import mimetypes
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import web

from lwlive import preset
from lwlive.commands import Command
from lwlive.params import ControlError
from lwlive.stage.sources.osc.packet import check
from lwlive.stage.sources.page import asking, health, oscquery
from lwlive.stage.sources.page.access import MESSAGE_BYTES, Access, own_host, own_origin
from lwlive.stage.sources.page.clients import Client, Clients, Listener, Viewer
from lwlive.stage.sources.page.surface import surface

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; connect-src 'self' "
    "ws:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
DRIFT = 1e-3  # by how much two clocks may run apart at most, in seconds a second
FOR_EVERYONE = ("/health", "/metrics")
TAP_S = 0.5  # how much earlier than its message a tap may have been
PING_S = 5.0  # a client that answers no ping is gone

Ask = Callable[[str, Command, int, float], None]  # key, command, client, when


class Server:
    """The handlers of one show, and what they share."""

    def __init__(
        self,
        access: Access,
        host: tuple[str, int | None],
        clients: Clients,
        times: Callable[[], health.Times],
        folder: Path,
        ask: Ask,
    ) -> None:
        self._access, self._host, self._clients = access, host, clients
        self._times, self._folder, self._ask = times, folder, ask
        # client -> least seconds from its clock to ours, and when that was looked at
        self._early: dict[int, tuple[float, float]] = {}
        self.presets: list[Path] = []
        self._order: tuple[str, ...] = ()  # of their names, as in `recalls`
        self.upgraded: set[object] = set()  # connections that are clients by now

    def app(self) -> web.Application:
        """The application, to be run by whoever has a loop."""
        app = web.Application(middlewares=[self._guarded], client_max_size=MESSAGE_BYTES)
        app.router.add_get("/{path:.*}", self._answer)
        app.on_response_prepare.append(_headed)
        return app

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Refuse what no browser or program of ours would ask."""
        host = request.headers.get("Host")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="GET is all there is here\n")
        known = request.path in FOR_EVERYONE or self._access.secret_is_in(request.path)
        if not (known or own_host(host)) or not own_origin(request.headers.get("Origin"), host):
            return web.Response(status=403, text="not from there\n")
        return await handler(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, now = request.path, time.perf_counter()
        if path == "/health":
            status, text = health.line(self._times(), self._values(), now)
            return web.Response(status=status, text=text + "\n", content_type="application/json")
        if path == "/metrics":
            text = health.metrics(self._times(), self._values(), now)
            return web.Response(text=text, content_type="text/plain", charset="utf-8")
        rest = self._access.page(path)
        if rest is not None:
            return await self._page(request, rest)
        if self._access.query(request.remote or ""):
            return await self._query(request)
        status = 403 if self._access.hides else 404
        return web.Response(status=status, text="nothing here\n")

    # the page

    async def _page(self, request: web.Request, rest: str) -> web.StreamResponse:
        if rest == "ws":
            return await self._viewer(request)
        if rest.startswith("preset/"):
            return await self._preset(rest.removeprefix("preset/"))
        file = FILES.get(rest or "index.html")
        if file is None:
            return web.Response(status=404, text="nothing here\n")
        kind = mimetypes.guess_type(rest or "index.html")[0]
        return web.Response(body=file, content_type=kind, charset="utf-8")

    async def _viewer(self, request: web.Request) -> web.StreamResponse:
        socket = _socket()
        await socket.prepare(request)
        viewer = Viewer(self._clients, socket, partial(_abort, request), self._heard)
        viewer.extra = {"surface": surface(), "presets": self.told_presets(), "you": viewer.number}
        viewer.wake.set()
        await self._served(request, viewer)
        self._early.pop(viewer.number, None)
        return socket

    async def _served(self, request: web.Request, client: Client) -> None:
        self.upgraded.add(request.protocol)
        try:
            await client.serve()
        finally:
            self.upgraded.discard(request.protocol)

    def _heard(self, client: int, message: dict[str, Any]) -> str | None:
        now = time.perf_counter()
        try:
            key, command = asking.asked(message["do"])
        except ControlError as error:
            return str(error)
        if command is not None:
            self._ask(key, command, client, self._pressed(client, message.get("at"), now))
        return None

    def _pressed(self, client: int, at: object, now: float) -> float:
        """When a finger came down, by our clock: a network delays each message differently."""
        if isinstance(at, bool) or not isinstance(at, int | float) or not abs(at) < 1e12:
            return now
        early, before = self._early.get(client, (now - at, now))
        early = min(early + DRIFT * (now - before), now - at)
        self._early[client] = early, now
        return max(now - TAP_S, at + early)

    async def _preset(self, name: str) -> web.StreamResponse:
        """A preset's picture. Looked up among those there are, so never a path."""
        stem = name.removesuffix(".jpg")
        path = next((one for one in self.presets if one.stem == stem), None)
        picture = path.with_suffix(".jpg") if path is not None else None
        try:
            data = await asyncio.to_thread(picture.read_bytes) if picture is not None else b""
        except OSError:
            data = b""
        if not data:
            return web.Response(status=404, text="no picture\n")
        return web.Response(
            body=data, content_type="image/jpeg", headers={"Cache-Control": "max-age=600"}
        )

    def told_presets(self) -> list[dict[str, Any]]:
        """The presets in their order, as the page shows them."""
        return [
            {"name": path.stem, "picture": path.with_suffix(".jpg").is_file()}
            for path in self.presets
        ]

    async def look_at_presets(self) -> None:
        """Read the list of presets again, aside: a disk may hang."""
        before = self.presets
        try:
            found = await asyncio.to_thread(preset.listed, self._folder)
        except OSError:
            return
        self._order = preset.appended(self._order, found)
        self.presets = sorted(found, key=lambda path: self._order.index(path.stem))
        if self.presets != before:
            self._clients.tell({"presets": self.told_presets()})

    # OSCQuery

    async def _query(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = _socket()
            await socket.prepare(request)
            abort = partial(_abort, request)
            listener = Listener(self._clients, socket, abort, self._packet)
            await self._served(request, listener)
            return socket
        wants_page = "text/html" in request.headers.get("Accept", "")
        if request.path == "/" and wants_page and not self._access.hides:
            raise web.HTTPFound(self._access.address.path)
        query = request.query_string
        if query.partition("=")[0] == "HOST_INFO":
            return _json(200, oscquery.host_info(self._own(request)))
        names = [path.stem for path in self.presets]
        values = self._clients.state.get("values", {})
        return _json(*oscquery.answer(oscquery.tree(values, names), request.path, query))

    def _packet(self, client: int, data: Any) -> str | None:
        """OSC over the WebSocket, as programs send what may not be lost."""
        found = check(data)
        why = found.refusals[0] if found.refusals else None
        for message in found.messages:
            try:
                key, command = asking.asked([message.address, *message.values])
            except ControlError as error:
                why = str(error)
                continue
            if command is not None:
                self._ask(key, command, client, time.perf_counter())
        return why

    def _own(self, request: web.Request) -> oscquery.Host:
        """Where OSC goes, as this client reaches it."""
        host, port = self._host
        ours: Any = request.transport.get_extra_info("sockname") if request.transport else None
        host, served = ours[:2] if ours else (host, self._access.address.port)
        return oscquery.Host("127.0.0.1" if host == "::1" else host, port or 0, served)

    def _values(self) -> dict[str, Any]:
        """The figures of the state that are one value each."""
        return {k: v for k, v in self._clients.state.items() if not isinstance(v, dict | list)}


FILES = {  # read once; they are few and small
    file.name: file.read_bytes()
    for file in (resources.files("lwlive.stage.sources.page") / "static").iterdir()
    if file.is_file()
}


def _socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(
        max_msg_size=MESSAGE_BYTES, compress=False, heartbeat=PING_S, writer_limit=1 << 16
    )


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _json(status: int, answer: Any) -> web.Response:
    text = json.dumps(answer) if answer is not None else ""
    return web.Response(status=status, text=text, content_type="application/json")


async def _headed(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = oscquery.NAME  # no version for strangers
