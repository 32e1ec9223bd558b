"""Names become folders, and whatever is wrong with the hub becomes a sentence. No network."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub
import pytest
from huggingface_hub import errors

from lwlive import hub
from lwlive.checkpoint import EMBER, Additions, ModelError, check, own_values
from lwlive.cli import subcommands
from lwlive.config import Config

COMMIT = "0" * 40
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
FILES = {
    "model_index.json": INDEX,
    "scheduler/scheduler_config.json": {"timestep_spacing": "trailing"},
    "text_encoder/config.json": {},
    "text_encoder/model.safetensors": {},
    "tokenizer/tokenizer_config.json": {},
    "unet/config.json": {"in_channels": 4, "out_channels": 4, "sample_size": 64},
    "unet/diffusion_pytorch_model.safetensors": {},
    "vae/config.json": {"_class_name": "AutoencoderKL"},
    "vae/diffusion_pytorch_model.safetensors": {},
}
DECODER: dict[str, dict[str, Any]] = {"config.json": {}, "diffusion_pytorch_model.safetensors": {}}


class FakeHub:
    """A hub's cache in a folder, and what is said when something is asked of the network."""

    def __init__(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self.remote: dict[str, dict[str, Any]] = {}
        self.error: Exception = ConnectionError("no route to host")
        self.asked: list[str] = []
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self._info)
        self.real = huggingface_hub.snapshot_download
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self._download)

    def put(self, repo: str, files: dict[str, Any]) -> Path:
        top = self.cache / f"models--{repo.replace('/', '--')}"
        folder = top / "snapshots" / COMMIT
        for name, value in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(value))
        (top / "refs").mkdir(parents=True, exist_ok=True)
        (top / "refs" / "main").write_text(COMMIT)
        return folder

    def _info(self, repo: str, **_: Any) -> Any:
        self.asked.append(repo)
        if repo not in self.remote:
            raise self.error
        files = [SimpleNamespace(rfilename=name, size=2**20) for name in self.remote[repo]]
        return SimpleNamespace(siblings=files)

    def _download(self, repo: str, **options: Any) -> str:
        if options.get("local_files_only"):
            return str(self.real(repo, cache_dir=str(self.cache), **options))
        wanted = options["allow_patterns"]
        return str(self.put(repo, {n: v for n, v in self.remote[repo].items() if n in wanted}))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with nothing in it."""
    return FakeHub(tmp_path / "hub", monkeypatch)


def response(status: int) -> Any:
    return MagicMock(status_code=status, headers={})


def test_a_short_name_that_is_here_needs_no_network(fake: FakeHub, tmp_path: Path) -> None:
    folder = fake.put("stabilityai/sd-turbo", FILES)
    assert hub.find("sd-turbo", True, tmp_path, print) == folder
    assert hub.find("stabilityai/sd-turbo", False, tmp_path, print) == folder
    assert fake.asked == []
    assert own_values(folder) == {"steps": 1, "guidance": 1.0}


def test_what_is_not_here_is_fetched_once_and_only_what_is_needed(
    fake: FakeHub, tmp_path: Path
) -> None:
    extra = ["sd_turbo.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", "README.md"]
    fake.remote["stabilityai/sd-turbo"] = FILES | {name: {} for name in extra}
    said: list[str] = []
    folder = hub.find("sd-turbo", False, tmp_path, said.append)
    assert hub.find("sd-turbo", False, tmp_path, said.append) == folder
    assert len(said) == 1
    assert "fetching stabilityai/sd-turbo, 0.01 GB" in said[0]
    got = {path.name for path in (folder / "unet").iterdir()}
    assert got == {"config.json", "diffusion_pytorch_model.fp16.safetensors"}
    assert not (folder / "sd_turbo.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.GatedRepoError("x", response=response(403)), "is gated: accept its terms"),
        (errors.RepositoryNotFoundError("x", response=response(404)), "is not on the hub"),
        (errors.HfHubHTTPError("500 oh", response=response(500)), "the hub did not give"),
        (errors.OfflineModeIsEnabled("x"), "connect this machine"),
        (ConnectionError("no route to host"), "connect this machine"),
        (TimeoutError(), "connect this machine"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_hub_refuses_is_a_sentence(
    fake: FakeHub, error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.error = error
    assert subcommands.main(["models", "pull", "sd-turbo"]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "stabilityai/sd-turbo" in err
    assert err.count("\n") == 1


def test_offline_asks_nobody_and_says_what_to_do(fake: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lwlive models pull sdxl-turbo"):
        hub.find("sdxl-turbo", True, tmp_path, print)
    assert fake.asked == []


@pytest.mark.parametrize("lost", ["unet/diffusion_pytorch_model.safetensors", "model_index.json"])
def test_a_half_downloaded_checkpoint_is_told_and_mended(
    fake: FakeHub, lost: str, tmp_path: Path
) -> None:
    fake.put("stabilityai/sd-turbo", {n: v for n, v in FILES.items() if n != lost})
    part = lost.split("/")[0]
    with pytest.raises(ModelError, match=f"only in part, without its {part}"):
        hub.find("sd-turbo", True, tmp_path, print)
    fake.remote["stabilityai/sd-turbo"] = FILES
    assert hub.missing(hub.find("sd-turbo", False, tmp_path, print)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_class_name": "FluxPipeline", "unet": None}, "is a FluxPipeline"),
        ({"text_encoder": [None, None]}, "cannot walk"),
    ],
)
def test_another_kind_of_checkpoint_is_refused(
    fake: FakeHub, change: dict[str, Any], said: str
) -> None:
    folder = fake.put("a/b", FILES | {"model_index.json": INDEX | change})
    with pytest.raises(ModelError, match=said):
        check(folder)


def test_an_inpainting_checkpoint_is_refused(fake: FakeHub) -> None:
    folder = fake.put("a/b", FILES | {"unet/config.json": {"in_channels": 9, "out_channels": 4}})
    with pytest.raises(ModelError, match="inpainting"):
        check(folder)


def test_the_tiny_decoder_is_the_default_and_its_absence_is_said(fake: FakeHub) -> None:
    folder = fake.put("a/b", FILES)
    said: list[str] = []
    assert hub.additions(Config(model="a/b"), folder, said.append) == Additions()
    assert "full decoder, which is slower" in said[0]
    decoder = fake.put("madebyollin/taesd", DECODER)
    assert hub.additions(Config(), folder, said.append).decoder == str(decoder)
    assert hub.additions(Config(decoder="full"), folder, said.append).decoder is None
    assert hub.additions(Config(), EMBER, said.append).decoder is None
    assert len(said) == 1


def test_loras_are_files_or_repositories_with_weights(fake: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    one = fake.put("x/lcm", {"pytorch_lora_weights.safetensors": {}})
    many = fake.put("x/hyper", {"1step.safetensors": {}, "8step.safetensors": {}})
    texts = [f"{tmp_path}/a.safetensors:0.5", "x/lcm", "x/hyper/8step.safetensors:1.25"]
    found = hub.additions(Config(lora=texts, offline=True), EMBER, print).loras
    assert found == (
        (str(tmp_path / "a.safetensors"), 0.5),
        (str(one / "pytorch_lora_weights.safetensors"), 1.0),
        (str(many / "8step.safetensors"), 1.25),
    )
    for text, said in {
        "x/hyper": "name one",
        "gone.safetensors": "no LoRA",
        "x/y": "not here",
    }.items():
        with pytest.raises(ModelError, match=said):
            hub.additions(Config(lora=[text], offline=True), EMBER, print)


@pytest.mark.parametrize("name", ["nonsense", "a b/c", "no/such/folder"])
def test_what_is_no_model_at_all_gets_a_sentence(fake: FakeHub, name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model"):
        hub.find(name, False, tmp_path, print)
    assert fake.asked == []


def test_the_table_tells_what_is_here(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    fake.put("stabilityai/sd-turbo", FILES)
    fake.put("stabilityai/sdxl-turbo", {"model_index.json": INDEX})
    assert subcommands.main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["ember"].endswith("built in")
    assert rows["sd-turbo"].endswith(" here")
    assert "lacks unet" in rows["sdxl-turbo"]
    assert rows["sd15-lcm"].endswith("not here")


def test_pull_fetches_the_decoder_too(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    fake.remote = {"stabilityai/sd-turbo": FILES, "madebyollin/taesd": DECODER}
    assert subcommands.main(["models", "pull", "sd-turbo"]) == 0
    assert hub.cached("madebyollin/taesd") is not None
    assert "sd-turbo is in" in capsys.readouterr().out


def test_words_after_models_that_mean_nothing_are_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert subcommands.main(["models", "burn"]) == 1
    assert "there is no `lwlive models burn`" in capsys.readouterr().err
