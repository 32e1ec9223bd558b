"""The child process of a stream: plain pictures in at stdin, H.264 out to a network or a folder.

Its first line is `Settings` as JSON; then come pictures, each with its number in eight bytes in
front. At stdout it says `open` and its encoder once it is connected, or `failed` and why. It ends
when its pipe does. It may wait for whatever it likes: whoever started it can kill it, and it ends
with that process in any case (see `parent`), together with the ffmpeg that carries SRT.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import numpy as np

from lwlive.checkpoint import Size
from lwlive.encoders import Encoding, streaming
from lwlive.parent import end_with, first_of_all
from lwlive.precedence import SENDING, behind
from lwlive.stage.outputs.stream import Settings

# Without this, a receiver waits for the next picture before it shows one.
_PROMPT = {"omit_video_pes_length": "0"}
_SEGMENT_S = 2
_ROOM = 2**16  # bytes: a disk with less is full
_PLAYED_S = 60.0  # after so long no player asks for a segment any more


class _Ended(Exception):  # noqa: N818 - what it is: the other program has ended
    """The message is a sentence."""


def main() -> int:
    """One stream, from its settings to the end of the pipe. The argument is the parent's number."""
    end_with(int(sys.argv[1]))
    behind(SENDING)
    source = sys.stdin.buffer
    line = source.readline()
    if not line:
        return 0
    try:
        _stream(Settings(**json.loads(line)), source)
    except _Ended as ended:
        return _fail(str(ended))
    except OSError as error:
        return _fail(error.strerror or str(error))
    except Exception as error:
        return _fail(str(error) or repr(error))
    return 0


def _fail(why: str) -> int:
    _tell(f"failed {' '.join(why.split())}")
    return 1


def _tell(line: str) -> None:
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _stream(settings: Settings, source: IO[bytes]) -> None:
    import av

    size = Size(settings.width, settings.height)
    encoders = streaming(settings.quality, settings.mbit)
    encoding = Encoding(encoders, Fraction(settings.rate), size)
    carrier = _carrier(settings.url)
    url, form, options = _way(settings.url)
    if form == "hls":
        _sweep(Path(url))
    target: Any = url if carrier is None else carrier.stdin
    output = av.open(target, "w", format=form, container_options=options)
    try:
        stream = encoding.stream(output)
        output.start_encoding()
        _tell(f"open {encoding.chosen.name}")
        checked = 0
        for pixels, pts in _pictures(source, size):
            if form == "hls" and pts - checked >= encoding.rate:
                _check_folder(Path(url))
                checked = pts
            output.mux(stream.encode(encoding.frame(pixels, pts)))
        output.mux(stream.encode(None))
    except OSError:
        if carrier is not None:
            raise _Ended(_last_words(carrier)) from None
        raise
    finally:
        with suppress(Exception):  # the far end may be gone, and the first error is the one to tell
            output.close()
        if carrier is not None:
            _end(carrier)


def _pictures(source: IO[bytes], size: Size) -> Any:
    """The pictures of the pipe, each with its number, until it ends."""
    count = size.width * size.height * 3
    while len(head := source.read(8)) == 8:
        data = source.read(count)
        if len(data) < count:
            return
        pixels = np.frombuffer(data, np.uint8).reshape(size.height, size.width, 3)
        yield pixels, int.from_bytes(head, "little")


def _way(url: str) -> tuple[str, str, dict[str, str]]:
    """How an address is written to: FFmpeg's address, format and options."""
    scheme = urlsplit(url).scheme if "://" in url else "hls"
    if scheme == "hls":
        flags = "delete_segments+independent_segments"
        hls = {"hls_time": str(_SEGMENT_S), "hls_list_size": "6", "hls_flags": flags}
        return url, "hls", {**hls, "hls_start_number_source": "epoch"}
    if scheme in ("rtmp", "rtmps"):
        return url, "flv", {"flvflags": "no_duration_filesize", "flush_packets": "1"}
    if scheme == "rtp":
        return url, "rtp_mpegts", {"mpegts_muxer_options": "omit_video_pes_length=0"}
    if scheme == "udp" and "pkt_size" not in url:  # seven packets of MPEG-TS fit into a datagram
        url += f"{'&' if '?' in url else '?'}pkt_size=1316"
    return url, "mpegts", {**_PROMPT, "flush_packets": "1"}


def _sweep(playlist: Path) -> None:
    """Remove the segments that an earlier stream to this playlist has left: FFmpeg keeps them."""
    for path in playlist.parent.iterdir():
        if re.fullmatch(rf"{re.escape(playlist.stem)}\d{{9,}}\.ts", path.name):
            with suppress(OSError):  # the stream is worth more than the room
                if time.time() - path.stat().st_mtime > _PLAYED_S:
                    path.unlink()


def _check_folder(playlist: Path) -> None:
    """Raises OSError where a folder does not take segments any more: FFmpeg says nothing of it."""
    if not playlist.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if shutil.disk_usage(playlist.parent).free < _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _carrier(url: str) -> "subprocess.Popen[bytes] | None":
    """An ffmpeg that carries what PyAV's FFmpeg cannot: SRT."""
    if not url.startswith("srt://"):
        return None
    quick = ["-fflags", "nobuffer", "-analyzeduration", "300000", "-probesize", "200000"]
    into = ["-c", "copy", "-f", "mpegts", "-omit_video_pes_length", "0", "-flush_packets", "1"]
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *quick]
    return subprocess.Popen(
        [*command, "-f", "mpegts", "-i", "pipe:0", *into, url],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        bufsize=0,
        preexec_fn=first_of_all(),
    )


def _last_words(carrier: "subprocess.Popen[bytes]") -> str:
    """Why it has ended."""
    with suppress(subprocess.TimeoutExpired):
        carrier.wait(2)
    said = cast(IO[bytes], carrier.stderr).read().decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"ffmpeg has ended with {carrier.returncode}"


def _end(carrier: "subprocess.Popen[bytes]") -> None:
    with suppress(OSError):
        cast(IO[bytes], carrier.stdin).close()
    try:
        carrier.wait(1)
    except subprocess.TimeoutExpired:
        carrier.kill()
        carrier.wait()


if __name__ == "__main__":
    sys.exit(main())
