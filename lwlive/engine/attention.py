"""Attention: the ways in which a UNet can attend, and which of them are to be had.

The only file that knows of xformers.
"""

from importlib import import_module, metadata
from typing import Any

from lwlive.checkpoint import ModelError
from lwlive.extras import command

SDPA, XFORMERS = "sdpa", "xformers"  # PyTorch's own, and the library's


def ways(wanted: str, device: str) -> tuple[str, ...]:
    """What is to be tried on a device where `wanted` is asked for, or the best with 'auto'.

    Raises ModelError where what is insisted on cannot be had.
    """
    if wanted == XFORMERS:
        if not installed():
            raise ModelError(
                f"xformers is not installed here: `{command(XFORMERS)}`, or leave out --attention"
            )
        if device != "cuda":
            raise ModelError(
                f"xformers attends on CUDA GPUs only, not on {device}: leave out --attention"
            )
        return (XFORMERS,)
    both = wanted == "auto" and device == "cuda" and installed()
    return (SDPA, XFORMERS) if both else (SDPA,)


def installed() -> bool:
    """Whether xformers is there, found without importing it."""
    try:
        metadata.version(XFORMERS)
    except metadata.PackageNotFoundError:
        return False
    return True


def attend(unet: Any, way: str) -> None:
    """Let a UNet attend that way from now on."""
    from diffusers.models import attention_processor

    names = {SDPA: "AttnProcessor2_0", XFORMERS: "XFormersAttnProcessor"}
    unet.set_attn_processor(getattr(attention_processor, names[way])())


def prepare(way: str) -> None:
    """Make known to torch what a package calls that attends this way. Raises RuntimeError."""
    if way == XFORMERS:
        try:
            import_module("xformers.ops")
        except ImportError as error:
            raise RuntimeError(f"it attends by xformers: {error}") from error
