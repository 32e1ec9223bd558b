"""What is fixed for one run, declared by part and joined into Config.

A part is a table of the file that `--config` reads and a group of `lwlive --help`; its fields are
the keys of that table and the flags of that group, under the same names. The parts stand here and
not beside what they configure: the engine reads Config too, and imports nothing of the stage.
This file knows nothing of flags, files or the live parameters.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_PORT = 7770
LONGEST_S = 366 * 86400.0  # of a show whose length is given


class Metavar(str):
    """What stands for a value in the help, where its type does not tell: NAME, FOLDER."""


class Bare(str):
    """What a flag means that stands there without a value."""


class Part(BaseModel):
    """One part of Config."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,  # only what is joined is ever filled in
    )
    table: ClassVar[str]  # its name in a file
    title: ClassVar[str]  # its heading in the help


class ShowPart(Part):
    """How the show runs."""

    table = "show"
    title = "Show"

    preset: Annotated[str | None, Metavar("NAME")] = Field(
        None, min_length=1, description="name of a preset, or a TOML file"
    )
    fps: float = Field(30.0, ge=1, le=240, description="frames shown in a second")
    duration: float | None = Field(
        None, gt=0, le=LONGEST_S, description="end the show after so many seconds"
    )


class ModelPart(Part):
    """What makes the pictures."""

    table = "model"
    title = "Model"

    model: Annotated[str, Metavar("NAME")] = Field(
        "ember",
        min_length=1,
        description="ember, a name from `lwlive models`, a repository of the hub, a diffusers "
        "folder or a .safetensors file",
    )
    lora: Annotated[list[str], Metavar("FILE_OR_ID[:WEIGHT]")] = Field(
        default_factory=list,
        description="a LoRA, with weight 1 unless one is given; may be repeated",
    )
    decoder: Annotated[str, Metavar("NAME")] = Field(
        "tiny",
        min_length=1,
        description="tiny (the fast one for the model), full (its own), or another one's folder "
        "or repository",
    )
    scheduler: Annotated[str | None, Metavar("NAME")] = Field(
        None,
        min_length=1,
        description="how steps are taken: a scheduler of diffusers by name, such as lcm for "
        "LCM-LoRAs, tcd, ddim, euler or lms; default: the model's own",
    )
    prediction: Literal["epsilon", "v_prediction", "sample"] | None = Field(
        None,
        description="what the model's UNet was trained to give, where its files do not say it or "
        "say something else; default: as the files say",
    )
    size: Annotated[str | None, Metavar("PIXELS")] = Field(
        None,
        pattern=r"^[0-9]{2,4}(x[0-9]{2,4})?$",
        description="pixels, 512 or 768x512, multiples of 64; default: the model's own",
    )
    offline: bool = Field(False, description="fetch nothing from the hub")


class EnginePart(Part):
    """How the machine is used."""

    table = "engine"
    title = "Engine"

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where torch runs")
    attention: Literal["auto", "sdpa", "xformers"] = Field(
        "auto", description="how the model attends; auto: xformers where it is there and faster"
    )
    batch: int | None = Field(
        None, ge=1, le=64, description="frames sampled together; default: measured at start"
    )
    compile: bool = Field(True, description="build compiled packages in the background")
    cache: Annotated[Path | None, Metavar("FOLDER")] = Field(
        None, description="where compiled packages are kept; default: the user's cache folder"
    )


class CuesPart(Part):
    """What happens when."""

    table = "cues"
    title = "Cues"

    cues: Annotated[Path | None, Metavar("FILE")] = Field(
        None, description="play this list of cues: a TOML file"
    )


class WindowPart(Part):
    """The window, and which monitor it is on."""

    table = "window"
    title = "Window"

    headless: bool = Field(False, description="no window: controls, OSC and recording only")
    fullscreen: bool = Field(False, description="cover a whole monitor, hide the cursor")
    monitor: Annotated[str, Metavar("NAME_OR_NUMBER")] = Field(
        "0", min_length=1, description="which monitor: its number, from 0, or its name, as HDMI-1"
    )
    fit: Literal["fill", "fit", "mirror"] = Field(
        "fit", description="crop to fill, show all, or show all and mirror into the borders"
    )
    vsync: bool = Field(True, description="show frames in step with the monitor")
    delay_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="delay of the projector; it is added to the latency that is shown",
    )


class OscPart(Part):
    """Control over the network."""

    table = "osc"
    title = "OSC"

    osc: bool = Field(True, description="listen for OSC")
    osc_host: Annotated[str, Metavar("ADDRESS")] = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen on; 0.0.0.0 opens the show to the network",
    )
    osc_port: int = Field(
        DEFAULT_PORT, ge=0, le=65535, description="UDP port to listen on; 0 takes a free one"
    )
    osc_allow: Annotated[list[str], Metavar("ADDRESS")] = Field(
        default_factory=list,
        description="only these sender addresses or networks, e.g. 192.168.1.0/24; may be repeated",
    )


class TempoPart(Part):
    """Who keeps the tempo."""

    table = "tempo"
    title = "Tempo"

    link: bool = Field(
        False,
        description="play in time with the Ableton Link session of this network; needs the extra "
        "`link`, which is under the GPL",
    )


class MidiPart(Part):
    """Control by MIDI boxes."""

    table = "midi"
    title = "MIDI"

    midi: Annotated[list[str], Metavar("NAME")] = Field(
        default_factory=list,
        description="listen only to MIDI ports with this in their name; may be repeated; "
        "`lwlive midi` lists them; default: every port",
    )
    no_midi: bool = Field(False, description="leave MIDI alone")
    midi_system: Literal["auto", "alsa", "jack", "coremidi", "winmm"] = Field(
        "auto", description="where MIDI comes from; auto: the first that has a port to listen to"
    )
    midi_folder: Annotated[Path | None, Metavar("FOLDER")] = Field(
        None, description="where MIDI mappings are kept; default: the user's folder of settings"
    )


class AudioPart(Part):
    """The sound that is listened to."""

    table = "audio"
    title = "Sound"

    audio_in: Annotated[str | None, Metavar("[DEVICE]"), Bare("default")] = Field(
        None,
        min_length=1,
        description="listen to an audio input, by its name or a part of it (see `lwlive audio`); "
        "without DEVICE: to the one that the system uses",
    )
    audio_tempo: bool = Field(
        True, description="take the tempo from the sound, where no other clock gives one"
    )


class PagePart(Part):
    """The page, for phones and browsers, and OSCQuery, for programs."""

    table = "page"
    title = "Page"

    page: bool = Field(False, description="serve a page that steers the show, and OSCQuery")
    page_host: Annotated[str, Metavar("ADDRESS")] = Field(
        "127.0.0.1",
        min_length=1,
        description="address to serve it on; 0.0.0.0 opens it to the network, with a secret in "
        "its address",
    )
    page_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="TCP port to serve it on, 0 for a free one; default: the number of OSC's port",
    )


class RecordingPart(Part):
    """What a run leaves behind, and where."""

    table = "recording"
    title = "Recording"

    folder: Annotated[Path, Metavar("FOLDER")] = Field(
        Path("."), description="where recordings and saved presets go"
    )
    record: Path | None = Field(None, description="record the whole show into this MP4 file")
    record_codec: Literal["h264", "hevc", "prores", "mjpeg"] = Field(
        "h264",
        description="what recordings are written in; prores and mjpeg are .mov files of key frames "
        "only, for VJ programs",
    )
    record_minutes: float | None = Field(
        None, ge=0.1, le=1440, description="begin a new file after so many minutes"
    )
    journal: Path | None = Field(
        None, description="write the performance into this file, for lwlive render --journal"
    )
    stats: Path | None = Field(None, description="write the figures of the run as JSON at the end")
    log: Path | None = Field(
        None,
        description="write what the show says, with times, into this file; default: lwlive.log in "
        "the user's state folder, which `lwlive log` shows",
    )


class OutputsPart(Part):
    """Pictures for other programs, as the window shows them."""

    table = "outputs"
    title = "Into other programs"

    ndi: Annotated[str | None, Metavar("[NAME]"), Bare("lwlive")] = Field(
        None, max_length=80, description="send NDI, under the name lwlive or another"
    )
    ndi_group: Annotated[str, Metavar("NAME,NAME")] = Field(
        "", max_length=240, description="groups of NDI that may receive it; default: all"
    )
    ndi_address: Annotated[str | None, Metavar("ADDRESS")] = Field(
        None,
        min_length=1,
        description="let NDI use the network of this address of this machine alone",
    )
    spout: Annotated[str | None, Metavar("[NAME]"), Bare("lwlive")] = Field(
        None, max_length=80, description="share a texture by Spout, on Windows"
    )
    syphon: Annotated[str | None, Metavar("[NAME]"), Bare("lwlive")] = Field(
        None, max_length=80, description="share a texture by Syphon, on macOS"
    )
    camera: Annotated[str | None, Metavar("[DEVICE]"), Bare("auto")] = Field(
        None,
        max_length=80,
        description="be a camera, on Linux with v4l2loopback: its first device, or /dev/videoN",
    )
    stream: Annotated[list[str], Metavar("URL")] = Field(
        default_factory=list,
        description="stream H.264 to udp://, rtp://, tcp://, rtmp:// or srt://HOST:PORT, or into "
        "a folder, FOLDER/NAME.m3u8; may be repeated",
    )
    stream_quality: int = Field(
        23, ge=1, le=51, description="of the stream: 1 is the finest, and 6 more is half the rate"
    )
    stream_mbit: float = Field(
        8.0, gt=0, le=1000, description="megabits a second that a stream may take"
    )
    output_size: Annotated[str | None, Metavar("WIDTHxHEIGHT")] = Field(
        None,
        pattern=r"^[0-9]{1,3}[02468]x[0-9]{1,3}[02468]$",
        description="pixels, 1920x1080, even numbers, for all of these; default: the picture's own",
    )


OUTPUTS = ("ndi", "spout", "syphon", "camera", "stream")  # of these fields: each can be switched


class GalleryPart(Part):
    """A show that nobody watches over."""

    table = "gallery"
    title = "A month unattended"

    state: Path | None = Field(
        None,
        description="keep values, phase and cue in this file and continue from it at the next "
        "start; what fails three starts in a row is left out at the fourth",
    )
    memory_limit: Annotated[float | None, Metavar("MEGABYTES")] = Field(
        None,
        ge=256,
        le=2**24,
        description="replace the engine, unseen, when the show takes more memory than that",
    )
    keep_days: Annotated[float | None, Metavar("DAYS")] = Field(
        None,
        gt=0,
        le=36_525,
        description="remove recordings of `record` in --folder when they are older",
    )


class Config(
    ShowPart,
    CuesPart,
    ModelPart,
    EnginePart,
    WindowPart,
    OscPart,
    PagePart,
    MidiPart,
    TempoPart,
    AudioPart,
    RecordingPart,
    OutputsPart,
    GalleryPart,
):
    """What is fixed for one run; not offered over OSC."""


PARTS = cast(tuple[type[Part], ...], Config.__bases__)
