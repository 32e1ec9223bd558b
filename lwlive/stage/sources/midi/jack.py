"""The JACK server, watched: libraries do not tell when it dies, and list its ports for ever.

A client without ports is closed by the server's end, and the system's libjack says so on a thread
of its own. Python may not run there, so what it calls is `sem_post` of the C library.
"""

import ctypes

LIBRARY = "libjack.so.0"
_NO_START = 0x01  # of jack_options_t: a server that is not running is not started
_SEMAPHORE_BYTES = 64  # more than any system's sem_t has


class NoServer(RuntimeError):  # noqa: N818 - not a fault: many machines have none
    """There is no server, or no libjack."""


def installed() -> bool:
    """Whether this machine has a libjack, of JACK or of PipeWire."""
    try:
        _library()
    except OSError:
        return False
    return True


def _library() -> ctypes.CDLL:
    """The system's libjack.

    Libraries bring one of their own that may not speak this server's language; the system's counts
    for them too where it is loaded first.
    """
    return ctypes.CDLL(LIBRARY, ctypes.RTLD_GLOBAL)


class Watch:
    """One server, as long as it lives. Raises NoServer."""

    def __init__(self) -> None:
        try:
            self._jack, self._c = _library(), ctypes.CDLL(None)
        except OSError as error:
            raise NoServer(str(error)) from None
        self._gone = ctypes.create_string_buffer(_SEMAPHORE_BYTES)
        self._c.sem_init(self._gone, 0, 0)
        self._jack.jack_client_open.restype = ctypes.c_void_p
        status = ctypes.c_int()
        client = self._jack.jack_client_open(b"lwlive watch", _NO_START, ctypes.byref(status))
        if not client:
            raise NoServer("no JACK server is running")
        self._client = ctypes.c_void_p(client)
        self._jack.jack_on_shutdown(self._client, self._c.sem_post, self._gone)

    @property
    def alive(self) -> bool:
        """Whether the server is still there."""
        count = ctypes.c_int()
        self._c.sem_getvalue(self._gone, ctypes.byref(count))
        return count.value == 0

    def close(self) -> None:
        """Let go of it."""
        self._jack.jack_client_close(self._client)
