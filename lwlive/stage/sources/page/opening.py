"""Opening the page: what is missing, its sockets, its secret, its process. Done once, at the start.

Runs in the show's thread, before the show. It imports no web server.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from lwlive import extras
from lwlive.checkpoint import Size
from lwlive.config import DEFAULT_PORT, Config
from lwlive.logs import event, whisper
from lwlive.params import ControlError
from lwlive.recent import Recent
from lwlive.stage.qrcode import Code
from lwlive.stage.sources.page import address
from lwlive.stage.sources.page.address import Address
from lwlive.stage.sources.page.board import BoardHandle
from lwlive.stage.sources.page.page import Order, Page

NEEDED = ("aiohttp", "zeroconf", "segno")
SECRET_FILE = "page-secret"  # in the user's folder of settings


def opened(
    config: Config,
    size: Size,
    osc_port: int | None,
    stack: ExitStack,
    say: Callable[[str], None],
    recent: Recent,
) -> tuple[Page, Address]:
    """The page and where it is. Raises ListenError, ControlError.

    osc_port: None where OSC is off. recent: the lines of the log that the page shows.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ControlError(f"--page needs {' and '.join(missing)}: run `{extras.command('page')}`")
    wanted = config.page_port
    if wanted is None:
        wanted = osc_port if osc_port is not None else DEFAULT_PORT
    sockets = address.listening(config.page_host, wanted)
    for one in sockets:
        stack.callback(one.close)
    secret = _secret(say) if address.is_open(config.page_host) else None
    host = address.seen_from_outside(config.page_host)
    where = Address(host, sockets[0].getsockname()[1], secret)

    def order(board: BoardHandle) -> Order:
        return Order(
            where,
            sockets,
            board,
            osc_port,
            config.osc_host,
            tuple(config.osc_allow),
            str(config.folder.absolute()),
        )

    page = Page(order, size, say, recent)
    stack.callback(page.close)
    return page, where


def told(where: Address, code: Code) -> None:
    """Say where the page is: the secret and its code to the terminal, never to a file."""
    whisper(f"the page is at {where.url}")
    event(f"the page is on port {where.port} of {where.host}")
    if where.secret is not None and sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"{code.letters()}\n")


def _secret(say: Callable[[str], None]) -> str:
    """The secret of this user's shows."""
    path = platformdirs.user_config_path("lwlive") / SECRET_FILE
    try:
        return address.kept_secret(Path(path))
    except OSError as error:
        say(f"the page's secret cannot be kept in {path} ({error.strerror}); it is a new one today")
        return address.new_secret()
