"""Checkpoints on the hub and in its cache: what is there, what is fetched, what a name means.

The stage uses it before the show begins, so nothing here imports torch, and huggingface_hub only
inside functions. What the files mean is checkpoint.py's to know.
"""

import contextlib
import errno
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lwlive.checkpoint import (
    EMBER,
    GRID,
    TEXTS,
    Additions,
    ModelError,
    Opened,
    check,
    factor_of,
    family,
    folder_of,
    part_of,
    read_json,
    size_of,
)
from lwlive.config import Config


@dataclass(frozen=True)
class Known:
    """A row of the table of short names."""

    repo: str
    about: str
    own: tuple[tuple[str, Any], ...] = ()  # where its files do not tell


TABLE = {
    "sd-turbo": Known("stabilityai/sd-turbo", "512 px in one step"),
    "sdxl-turbo": Known("stabilityai/sdxl-turbo", "512 px in one step, finer, slower"),
    "sd15-lcm": Known("SimianLuo/LCM_Dreamshaper_v7", "512 px in four steps, guidance at no cost"),
    "sdxs": Known(
        "IDKiro/sdxs-512-0.9",
        "512 px in one step, the fastest",
        (("steps", 1), ("guidance", 1.0)),
    ),
}
DECODERS = {"sd": "madebyollin/taesd", "sdxl": "madebyollin/taesdxl"}
REPO = re.compile(r"[\w.-]+/[\w.-]+")
MOST_WEIGHT = 20.0  # of a LoRA, either way; sliders go to 10
NETS = ("unet", "vae", *TEXTS)
OTHERS = "`lwlive models` lists other models"

Say = Callable[[str], None]


def opened(
    config: Config, say: Say, masks: bool = False, fine: bool = False, wanted: str | None = None
) -> Opened:
    """The model that the command line names, with what it adds, fetched first if need be.

    masks: whether one made for inpainting is welcome. fine: any size that its latents can have will
    do. wanted: the size where the command line gives none. Raises ModelError with a sentence that
    says what to do.
    """
    cache = cache_of(config)
    folder = find(config.model, config.offline, cache, say, masks)
    added = additions(config, folder, say)
    grid = factor_of(folder) if fine else GRID
    return Opened(folder, added, size_of(folder, config.size or wanted, grid), cache)


def cache_of(config: Config) -> Path:
    """Where compiled packages and models made from single files are kept."""
    import platformdirs

    return config.cache or platformdirs.user_cache_path("lwlive")


def find(model: str, offline: bool, cache: Path, say: Say, masks: bool = False) -> Path:
    """The folder of a model as named on the command line, as `opened` gives it."""
    path = Path(os.path.expanduser(model))
    if model == "ember" or path.is_dir():
        return folder_of(model, masks)
    if path.suffix == ".safetensors":
        return _converted(path, offline, cache, say)
    repo = TABLE[model].repo if model in TABLE else model
    if not REPO.fullmatch(repo):
        return folder_of(model)  # which says what a model may be
    folder = cached(repo)
    if folder is None or missing(folder):
        if offline:
            state = "is not here"
            if folder is not None:
                state = f"is here only in part, without its {' and '.join(missing(folder))}"
            raise ModelError(
                f"{model} {state}: fetch it with `lwlive models pull {model}`, or drop --offline"
            )
        folder = pull(repo, say)
    check(folder, masks)
    return folder


def additions(config: Config, folder: Path, say: Say) -> Additions:
    """What the command line adds to a checkpoint. Raises ModelError."""
    return Additions(
        loras=tuple(_lora(text, config.offline, say) for text in config.lora),
        decoder=_decoder(config, folder, say),
        scheduler=config.scheduler,
        prediction=config.prediction,
        own=TABLE[config.model].own if config.model in TABLE else (),
    )


def _lora(text: str, offline: bool, say: Say) -> tuple[str, float]:
    """File and weight of a LoRA as typed: PATH_OR_ID[:weight], an ID with or without a file."""
    name, weight = _weighted(text)
    path = Path(os.path.expanduser(name))
    if path.is_file():
        return str(path.absolute()), weight
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    repo = f"{owner}/{repository}"
    if (path.suffix == ".safetensors" and not file) or not REPO.fullmatch(repo):
        raise ModelError(f"there is no LoRA {name}: give a .safetensors file, or an id of the hub")
    folder = cached(repo)
    if folder is None or not _loras(folder, file):
        if offline:
            raise ModelError(f"the LoRA {name} is not here: fetch it once without --offline")
        folder = pull(repo, say, lambda files: [f for f in files if _is_lora(f, file)])
    found = _loras(folder, file)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:8]) or "none"
        raise ModelError(f"{repo} has several LoRAs or none ({names}); name one: {repo}/FILE")
    return str(found[0]), weight


def _weighted(text: str) -> tuple[str, float]:
    """A LoRA's name and weight; a file may have a colon in its name. Raises ModelError."""
    name, colon, number = text.rpartition(":")
    if not colon or Path(os.path.expanduser(text)).is_file():
        return text, 1.0
    try:
        weight = float(number)
    except ValueError:
        return text, 1.0
    if not abs(weight) <= MOST_WEIGHT:
        raise ModelError(
            f"a LoRA's weight is a number from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}, not {number}: "
            f"{text}"
        )
    return name, weight


def _is_lora(file: str, wanted: str) -> bool:
    return file == wanted if wanted else "/" not in file and file.endswith(".safetensors")


def _loras(folder: Path, wanted: str) -> list[Path]:
    files = (folder / wanted,) if wanted else sorted(folder.glob("*.safetensors"))
    return [file for file in files if file.is_file()]


def _decoder(config: Config, folder: Path, say: Say) -> str | None:
    """The folder of the decoder that was chosen, None for the checkpoint's own."""
    if config.decoder == "full":
        return None
    if config.decoder != "tiny":
        path = Path(os.path.expanduser(config.decoder))
        return str(path if path.is_dir() else _fetched(config.decoder, config.offline, say))
    own = read_json(folder / "vae" / "config.json")
    if own.get("_class_name") == "AutoencoderTiny":
        return None
    try:
        return str(_fetched(DECODERS[family(folder)], config.offline, say))
    except ModelError as error:
        say(f"{error}; pictures come from the model's own full decoder, which is slower")
        return None


def _fetched(repo: str, offline: bool, say: Say) -> Path:
    """The folder of a decoder's repository."""
    folder = cached(repo)
    if folder is not None and (folder / "config.json").is_file() and _weights(folder):
        return folder
    if offline:
        raise ModelError(f"the decoder {repo} is not here: fetch it once without --offline")
    return pull(repo, say, _network_files)


def _network_files(files: Sequence[str]) -> list[str]:
    return [f for f in files if f in ("config.json", "diffusion_pytorch_model.safetensors")]


def cached(repo: str) -> Path | None:
    """The newest snapshot of a repository in the hub's cache, whole or not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    with contextlib.suppress(OSError, HFValidationError, ValueError):
        folder = Path(snapshot_download(repo, local_files_only=True))
        return folder if any(folder.iterdir()) else None
    return None


def missing(folder: Path) -> list[str]:
    """Parts that a checkpoint's index names and its folder does not hold whole."""
    try:
        index = read_json(folder / "model_index.json")
    except ModelError:
        return ["model_index.json"]
    wanted = [part for part in (*NETS, "scheduler", "tokenizer") if part_of(index, part)[0]]
    return [part for part in wanted if not _whole(folder / part, part in NETS)]


def _whole(folder: Path, network: bool) -> bool:
    return any(folder.glob("*.json")) and (not network or _weights(folder))


def _weights(folder: Path) -> bool:
    """Whether a network's weights are there, every file of them. Links may lead nowhere."""
    for path in folder.glob("*.index.json"):
        try:
            shards = {str(name) for name in read_json(path)["weight_map"].values()}
        except (ModelError, KeyError, AttributeError):
            return False
        return all((folder / shard).is_file() for shard in shards)
    return any(path.is_file() for end in ("safetensors", "bin") for path in folder.glob(f"*.{end}"))


def size(folder: Path) -> int:
    """Bytes of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def needed(files: Sequence[str]) -> list[str]:
    """Of a repository's files those that a show needs: in float16 where there is a choice."""
    found = [f for f in files if f == "model_index.json"]
    for part in (*NETS, "scheduler", "tokenizer", "tokenizer_2"):
        inside = [f for f in files if f.startswith(f"{part}/") and f.count("/") == 1]
        found += [f for f in inside if f.endswith((".txt", ".json")) and "flax" not in f]
        weights = [
            f for f in inside if re.search(r"(model|pytorch_model).*\.(safetensors|bin)$", f)
        ]
        for wanted in (r"\.fp16.*\.safetensors", r"\.safetensors", r"\.fp16\.bin", r"\.bin"):
            some = [f for f in weights if re.search(wanted, f) and "non_ema" not in f]
            if some:
                found += some
                break
    return found


def pull(repo: str, say: Say, choose: Callable[[Sequence[str]], list[str]] = needed) -> Path:
    """Fetch a repository into the hub's cache, with its progress bars. Raises ModelError."""
    from huggingface_hub import HfApi, snapshot_download

    with _sentences(repo):
        found = HfApi().model_info(repo, files_metadata=True).siblings or []
        sizes = {file.rfilename: file.size or 0 for file in found}
        files = choose(list(sizes))
        if not files:
            raise ModelError(f"{repo} holds nothing that lwlive can use; {OTHERS}")
        say(f"fetching {repo}, {sum(sizes[file] for file in files) / 2**30:.2f} GB")
        return Path(snapshot_download(repo, allow_patterns=files))


@contextlib.contextmanager
def _sentences(repo: str) -> Iterator[None]:
    """The hub's errors as sentences for the person at the desk."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repo} is gated: accept its terms on https://huggingface.co/{repo}, then log in with "
            "`hf auth login` and try again"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelError(f"{repo} is not on the hub (any more), or is private; {OTHERS}") from error
    except errors.HFValidationError as error:
        raise ModelError(f"{repo} is not the name of a repository; {OTHERS}") from error
    except errors.HfHubHTTPError as error:
        raise ModelError(f"the hub did not give {repo}: {str(error).splitlines()[0]}") from error
    except ModelError:
        raise
    except OSError as error:
        quota = getattr(errno, "EDQUOT", errno.ENOSPC)
        if error.errno not in (errno.ENOSPC, quota, errno.EACCES, errno.EROFS):
            raise _silent(repo, error) from error
        raise ModelError(f"{repo} cannot be kept on this disk: {error.strerror}") from error
    except Exception as error:  # every http library has its own ideas of a network that is gone
        raise _silent(repo, error) from error


def _silent(repo: str, error: Exception) -> ModelError:
    return ModelError(
        f"{repo} cannot be fetched, since the hub does not answer "
        f"({type(error).__name__}): connect this machine, or choose a model that is here"
    )


def _converted(path: Path, offline: bool, cache: Path, say: Say) -> Path:
    """The folder that a single file was made into, in a child since it takes torch."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    beside = path.with_suffix(".yaml")  # may say what it predicts
    stats = [file.stat() for file in (path, beside) if file.is_file()]
    text = f"{path.absolute()} " + " ".join(f"{one.st_size} {one.st_mtime_ns}" for one in stats)
    folder = cache / "converted" / f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not (folder / "model_index.json").is_file():
        say(f"converting {path.name} into a folder, once")
        done = subprocess.run(
            [sys.executable, "-m", "lwlive.engine.convert", str(path), str(folder)],
            capture_output=True,
            text=True,
            env={**os.environ, **({"HF_HUB_OFFLINE": "1"} if offline else {})},
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            ended = f"{path} cannot be read: the converter ended with code {done.returncode}"
            raise ModelError(lines[-1] if lines else ended)
    check(folder)
    return folder


def table() -> str:
    """The short names, whether each is here, and its size, as `lwlive models` prints them."""
    rows = [("ember", "lwlive", size(EMBER), "built in")]
    for name, known in TABLE.items():
        folder = cached(known.repo)
        lacks = missing(folder) if folder is not None else []
        here = "not here" if folder is None else f"lacks {', '.join(lacks)}" if lacks else "here"
        rows.append((name, known.repo, size(folder) if folder is not None else 0, here))
    lines = [f"{n:<12}{r:<32}{s / 2**20:>9.0f} MB  {h}" for n, r, s, h in rows]
    about = [f"  {name}: {known.about}" for name, known in TABLE.items()]
    return "\n".join([*lines, "", *about, "", "`lwlive models pull NAME` fetches one."])
