"""xformers is used where it is there and faster, and gives the pictures that PyTorch's own gives.

It runs on CUDA GPUs only, so a stand-in computes what it computes, on simulated time.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from diffusers.models import attention_processor
from torch import Tensor
from torch.nn import functional

from lwlive.checkpoint import ModelError, Opened, Size
from lwlive.config import Config
from lwlive.engine import attention
from lwlive.engine.eager import Eager
from lwlive.engine.load import PLAIN, Modules, attending, load
from lwlive.engine.networks import Kind
from lwlive.engine.tuning import choose
from lwlive.engine.tuning.measure import Measured, attended, recall, remember
from lwlive.engine.tuning.pieces import Cost
from lwlive.params import Params

SDPA = functional.scaled_dot_product_attention


class Clock:
    """Time that passes with each attention, for either way its own."""

    def __init__(self, sdpa_s: float, xformers_s: float) -> None:
        self.now, self.sdpa_s, self.xformers_s = 0.0, sdpa_s, xformers_s
        self.asked = 0  # of xformers

    def __call__(self) -> float:
        return self.now

    def sdpa(self, *args: Any, **options: Any) -> Tensor:
        self.now += self.sdpa_s
        return SDPA(*args, **options)

    def xformers(
        self, q: Tensor, k: Tensor, v: Tensor, attn_bias: None, op: None, scale: float
    ) -> Tensor:
        assert attn_bias is None
        assert op is None
        self.asked += 1
        self.now += self.xformers_s
        return SDPA(q, k, v, scale=scale)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    """Puts an xformers of that speed in the place of the real one."""

    def put(sdpa_s: float = 1.0, xformers_s: float = 1.0) -> Clock:
        clock = Clock(sdpa_s, xformers_s)
        ops = SimpleNamespace(memory_efficient_attention=clock.xformers)
        monkeypatch.setattr(attention_processor, "xformers", SimpleNamespace(ops=ops))
        monkeypatch.setattr(functional, "scaled_dot_product_attention", clock.sdpa)
        monkeypatch.setattr(attention, "installed", lambda: True)
        return clock

    return put


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Modules:
    """A small SDXL."""
    folder = tiny.folder(tmp_path_factory.mktemp("model") / "sdxl", family="sdxl")
    return load(folder, Size(64, 64), "cpu", Kind("float32", True))


@pytest.mark.slow
def test_both_ways_give_the_same_pictures(modules: Modules, fake: Callable[..., Clock]) -> None:
    clock = fake()
    x, found = torch.randn(2, *modules.shape), {}
    for way in ("sdpa", "xformers", "sdpa"):
        eager = Eager(attending(modules, way), 2)
        before = clock.asked
        found[way] = eager.denoise(x, 300.0, eager.blank())
        assert (clock.asked > before) == (way == "xformers")
    assert torch.allclose(found["sdpa"], found["xformers"], atol=1e-5)


@pytest.mark.parametrize(("xformers_s", "best"), [(0.5, "xformers"), (2.0, "sdpa")])
def test_the_faster_way_is_taken_and_said(
    modules: Modules, fake: Callable[..., Clock], xformers_s: float, best: str
) -> None:
    clock, said = fake(1.0, xformers_s), list[str]()
    found = attended(modules, ("sdpa", "xformers"), clock, said.append)
    assert found.kind.attention == best
    assert len(said) == 1
    assert said[0].startswith(f"attention by {best}; ")
    before = clock.asked
    eager = Eager(found, 1)
    eager.denoise(torch.randn(1, *modules.shape), 300.0, eager.blank())
    assert (clock.asked > before) == (best == "xformers")


def test_a_card_that_xformers_has_no_kernel_for_is_said_and_goes_on(
    modules: Modules, fake: Callable[..., Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, said = fake(), list[str]()

    def none(*_: object, **__: object) -> Tensor:
        raise NotImplementedError("No operator found for this\nmore")

    monkeypatch.setattr(attention_processor.xformers.ops, "memory_efficient_attention", none)
    found = attended(modules, ("sdpa", "xformers"), clock, said.append)
    assert found.kind.attention == "sdpa"
    assert said == ["xformers cannot attend here: No operator found for this"]
    with pytest.raises(ModelError, match=r"No operator found for this; leave out --attention$"):
        attended(modules, ("xformers",), clock, said.append)


@pytest.mark.parametrize(
    ("wanted", "device", "there", "tried"),
    [
        ("auto", "cuda", True, ("sdpa", "xformers")),
        ("auto", "cuda", False, ("sdpa",)),
        ("auto", "cpu", True, ("sdpa",)),
        ("sdpa", "cuda", True, ("sdpa",)),
        ("xformers", "cuda", True, ("xformers",)),
    ],
)
def test_both_are_tried_where_both_are_there(
    wanted: str, device: str, there: bool, tried: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "installed", lambda: there)
    assert attention.ways(wanted, device) == tried


@pytest.mark.parametrize(
    ("there", "device", "sentence"),
    [(False, "cpu", r"pip install .*\[xformers\]"), (True, "cpu", "CUDA GPUs only")],
)
def test_insisting_on_what_is_not_to_be_had_is_one_sentence(
    there: bool, device: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attention, "installed", lambda: there)
    config = Config(attention="xformers", device=device)
    with pytest.raises(ModelError, match=sentence) as caught:
        choose.plan(config, Opened(tmp_path, PLAIN, Size(64, 64), tmp_path), Params(), print)
    assert "\n" not in str(caught.value)


def test_what_was_found_faster_is_remembered(tmp_path: Path) -> None:
    measured = Measured(Kind("float16", True, "xformers"), 4, {1: Cost(0.01, 0.002)})
    remember(tmp_path / "x.json", measured)
    assert recall(tmp_path / "x.json") == measured
