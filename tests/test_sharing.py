"""Spout, Syphon and virtual cameras, against fakes with the libraries' and the kernel's own
signatures: none of them can run where the tests run."""

import errno
import struct
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from feeds import SIDE, Played, feed_of, until

from lwlive.params import ControlError
from lwlive.stage.outputs import camera, feed, spout, syphon
from lwlive.stage.outputs.camera import Camera
from lwlive.stage.outputs.feed import FeedError

RED_OVER_BLUE = np.zeros((SIDE, SIDE, 3), np.uint8)
RED_OVER_BLUE[: SIDE // 2, :, 0] = 255
RED_OVER_BLUE[SIDE // 2 :, :, 2] = 255


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again without a long pause."""
    monkeypatch.setattr(feed, "PAUSES_S", (0.05,))


def shown(pixels: Any) -> bool:
    """Whether [H, W, 4] is the picture, with its top first."""
    right = (pixels[..., :3] == RED_OVER_BLUE).all() and (pixels[..., 3] == 255).all()
    return bool(right)


class FakeSpoutSender:
    """SpoutGL.SpoutSender of SpoutGL 0.1.1, as far as it is used."""

    made: list["FakeSpoutSender"]
    takes = opens = True

    def __init__(self) -> None:
        self.name, self.pictures, self.synced = "", list[Any](), list[str]()
        self.released = self.closed = False
        self.made.append(self)

    def createOpenGL(self) -> bool:  # noqa: N802 - the library's name
        return self.opens

    def closeOpenGL(self) -> bool:  # noqa: N802
        self.closed = True
        return True

    def setSenderName(self, name: str) -> None:  # noqa: N802
        self.name = name

    def sendImage(  # noqa: N802
        self, buffer: Any, width: int, height: int, gl_format: int, invert: bool, host_fbo: int
    ) -> bool:
        view = memoryview(buffer)
        assert view.c_contiguous
        assert view.nbytes >= width * height * 4
        assert (gl_format, invert, host_fbo) == (0x1908, False, 0)
        self.pictures.append(np.array(view).reshape(height, width, 4))
        return self.takes

    def setFrameSync(self, name: str) -> None:  # noqa: N802
        self.synced.append(name)

    def releaseSender(self) -> None:  # noqa: N802
        self.released = True


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[FakeSpoutSender]:
    FakeSpoutSender.made = []
    library: Any = ModuleType("SpoutGL")
    library.SpoutSender = FakeSpoutSender
    enums: Any = ModuleType("SpoutGL.enums")
    enums.GL_RGBA = 0x1908
    monkeypatch.setitem(sys.modules, "SpoutGL", library)
    monkeypatch.setitem(sys.modules, "SpoutGL.enums", enums)
    monkeypatch.setattr(feed, "find_spec", lambda _: library)
    return FakeSpoutSender.made


def test_spout_gets_every_picture_under_its_name_and_is_released(
    senders: list[FakeSpoutSender],
) -> None:
    said: list[str] = []
    feed = feed_of(lambda: spout.Spout("stage left"), said)
    with Played(feed, "test", lambda _: RED_OVER_BLUE):
        until(lambda: feed.sent > 5, "nothing is sent")
    (sender,) = senders
    assert sender.name == "stage left"
    assert all(shown(picture) for picture in sender.pictures)
    assert sender.synced == ["stage left"] * feed.sent
    assert sender.released
    assert sender.closed
    assert said == ["test: stage left"]


@pytest.mark.parametrize(("what", "told"), [("opens", "no OpenGL"), ("takes", "does not take")])
def test_spout_that_refuses_is_a_sentence_and_tried_again(
    senders: list[FakeSpoutSender], monkeypatch: pytest.MonkeyPatch, what: str, told: str
) -> None:
    monkeypatch.setattr(FakeSpoutSender, what, False)
    said: list[str] = []
    feed = feed_of(lambda: spout.Spout("a"), said)
    with Played(feed, "test", lambda _: RED_OVER_BLUE):
        until(lambda: any(told in line and "trying again" in line for line in said), "unsaid")
        monkeypatch.setattr(FakeSpoutSender, what, True)
        until(lambda: feed.sent > 2, "it does not come back")
    assert all(sender.released for sender in senders)


class FakeSyphonServer:
    """syphon.SyphonMetalServer of syphon-python 0.1.1, as far as it is used."""

    made: list["FakeSyphonServer"]

    def __init__(self, name: str, device: Any = None, command_queue: Any = None) -> None:
        assert device is None
        assert command_queue is None
        self.name, self.device = name, object()
        self.pictures, self.stopped = list[Any](), False
        self.made.append(self)

    def publish_frame_texture(
        self,
        texture: Any,
        region: Any = None,
        size: Any = None,
        is_flipped: bool = False,
        command_buffer: Any = None,
        auto_commit: bool = True,
    ) -> None:
        assert (region, size, command_buffer, auto_commit) == (None, None, None, True)
        assert is_flipped
        self.pictures.append(texture.image)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[FakeSyphonServer]:
    FakeSyphonServer.made = []

    def create_mtl_texture(device: Any, width: int, height: int, pixel_format: int = 70) -> Any:
        assert device is FakeSyphonServer.made[-1].device
        assert pixel_format == 70  # RGBA, a byte each
        return SimpleNamespace(size=(width, height), image=None)

    def copy_image_to_mtl_texture(image: Any, texture: Any) -> None:
        assert image.shape == (*texture.size[::-1], 4)
        texture.image = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)

    library: Any = ModuleType("syphon")
    library.SyphonMetalServer = FakeSyphonServer
    pieces: dict[str, Any] = {
        name: ModuleType(name)
        for name in ("syphon.utils", "syphon.utils.numpy", "syphon.utils.raw")
    }
    pieces["syphon.utils.numpy"].copy_image_to_mtl_texture = copy_image_to_mtl_texture
    pieces["syphon.utils.raw"].create_mtl_texture = create_mtl_texture
    for name, module in {"syphon": library, **pieces}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(feed, "find_spec", lambda _: library)
    return FakeSyphonServer.made


def test_syphon_gets_every_picture_under_its_name_and_is_stopped(
    servers: list[FakeSyphonServer],
) -> None:
    feed = feed_of(lambda: syphon.Syphon("stage left"), [])
    with Played(feed, "test", lambda _: RED_OVER_BLUE):
        until(lambda: feed.sent > 5, "nothing is sent")
    (server,) = servers
    assert server.name == "stage left"
    assert len(server.pictures) == feed.sent
    assert all(shown(picture) for picture in server.pictures)
    assert server.stopped


@pytest.mark.parametrize(("module", "system"), [(spout, "Windows"), (syphon, "macOS")])
def test_what_is_not_installed_says_what_to_install_and_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, module: Any, system: str
) -> None:
    monkeypatch.setattr(feed, "find_spec", lambda _: None)
    with pytest.raises(ControlError, match=f"is not installed: run .*for {system} only"):
        module.check()


# Virtual cameras


class FakeDevice(camera.Device):
    """The kernel with a device of v4l2loopback, as the V4L2 documents have its structures."""

    def __init__(self, output: bool = True) -> None:
        self.output, self.calls, self.pictures = output, list[str](), list[Any]()
        self.size = (0, 0)
        self.fixed: tuple[int, int] | None = None  # a reader holds it to this size
        self.errors: dict[str, int] = {}
        self.open_handles = 0

    def _may(self, call: str) -> None:
        self.calls.append(call)
        if call in self.errors:
            raise OSError(self.errors[call], "told to fail")

    def open(self, path: str) -> int:
        self._may("open")
        if path == "/dev/video99":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        self.open_handles += 1
        return 7

    def ioctl(self, handle: int, number: int, data: bytes) -> bytes:
        assert handle == 7
        assert number >> 16 & 0x3FFF == len(data)
        if number == 0x80685600:  # VIDIOC_QUERYCAP
            self._may("querycap")
            can = 0x85208002 if self.output else 0x85208001
            names = (b"v4l2 loopback", b"lwlive", b"platform:v4l2loopback-009")
            return struct.pack("=16s32s32sIII12x", *names, 1, can, can)
        if number == 0xC0D05605:  # VIDIOC_S_FMT
            self._may("s_fmt")
            (kind,) = struct.unpack_from("=I", data)
            width, height, form, field, line, count, _ = struct.unpack_from("=7I", data, 8)
            assert (kind, form, field) == (2, int.from_bytes(b"YU12", "little"), 1)
            assert (line, count) == (width, width * height * 3 // 2)
            self.size = self.fixed or (width, height)
            told = bytearray(data)
            struct.pack_into("=2I", told, 8, *self.size)
            return bytes(told)
        assert number == 0xC0CC5616  # VIDIOC_S_PARM
        self._may("s_parm")
        assert struct.unpack_from("=5I", data) == (2, 0, 0, 1, 30)
        return data

    def write(self, handle: int, data: Any) -> int:
        assert handle == 7
        self._may("write")
        self.pictures.append(np.array(data))
        return int(data.nbytes)

    def close(self, handle: int) -> None:
        assert handle == 7
        self.open_handles -= 1


def filming(device: FakeDevice, said: list[str], path: str = "/dev/video9") -> Any:
    return feed_of(lambda: Camera(Path(path), Fraction(30), device), said)


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the numbers are those of 64 bits")
def test_the_calls_are_those_of_the_kernels_headers() -> None:
    assert (camera.QUERYCAP, camera.S_FMT, camera.S_PARM) == (0x80685600, 0xC0D05605, 0xC0CC5616)


def test_the_camera_is_told_of_the_pictures_once_and_gets_every_one() -> None:
    device, said = FakeDevice(), list[str]()
    feed = filming(device, said)
    with Played(feed, "test", lambda _: RED_OVER_BLUE):
        until(lambda: feed.sent > 5, "nothing is sent")
    assert device.calls[:4] == ["open", "querycap", "s_fmt", "s_parm"]
    assert set(device.calls[4:]) == {"write"}
    assert device.size == (SIDE, SIDE)
    assert len(device.pictures) == feed.sent
    luma = device.pictures[0][:SIDE]
    assert luma[5, 5] == pytest.approx(81, abs=2)  # red, BT.601
    assert luma[-5, 5] == pytest.approx(41, abs=2)  # blue
    assert device.open_handles == 0
    assert said == ["test: /dev/video9 (lwlive)"]


@pytest.mark.parametrize(
    ("call", "number", "told"),
    [
        ("open", errno.EACCES, "/dev/video9 cannot be used"),
        ("querycap", errno.ENOTTY, "/dev/video9 cannot be used"),
        ("s_fmt", errno.EBUSY, "another program writes to it"),
        ("write", errno.ENODEV, "has failed: told to fail"),
    ],
)
def test_a_camera_that_fails_is_a_sentence_and_comes_back(
    call: str, number: int, told: str
) -> None:
    device, said = FakeDevice(), list[str]()
    device.errors[call] = number
    feed = filming(device, said)
    with Played(feed, "test"):
        until(lambda: any(told in line and "trying again" in line for line in said), str(said))
        device.errors.clear()
        until(lambda: feed.sent > 2, "it does not come back")
    assert device.open_handles == 0


def test_an_old_camera_that_knows_no_rate_gets_the_pictures_all_the_same() -> None:
    device = FakeDevice()
    device.errors["s_parm"] = errno.ENOTTY
    feed = filming(device, [])
    with Played(feed, "test"):
        until(lambda: feed.sent > 2, "nothing is sent")
    assert feed.failures == 0


def test_a_camera_that_is_not_there_or_is_a_real_one_says_what_to_load() -> None:
    for device, path, told in (
        (FakeDevice(), "/dev/video99", "there is no /dev/video99; install v4l2loopback"),
        (FakeDevice(output=False), "/dev/video0", "takes no pictures; install v4l2loopback"),
    ):
        one = Camera(Path(path), Fraction(30), device)
        with pytest.raises(FeedError, match=told):
            one.open()
        one.close()
        assert device.open_handles == 0


def test_a_reader_that_holds_the_camera_to_another_size_is_told_of() -> None:
    device, said = FakeDevice(), list[str]()
    device.fixed = (1280, 720)
    feed = filming(device, said)
    with Played(feed, "test"):
        until(lambda: len(said) > 1, "nothing is said")
    assert "the camera wants 1280x720 in YU12, not 64x64" in said[1]
    assert not device.pictures


def test_the_first_device_is_the_one_with_the_lowest_number(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no virtual camera; install v4l2loopback"):
        camera._first(tmp_path)
    for name in ("video10", "video9"):
        (tmp_path / name).mkdir()
    assert camera._first(tmp_path) == "/dev/video9"


def test_elsewhere_there_is_a_way_and_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ControlError, match="OBS"):
        camera.check()
