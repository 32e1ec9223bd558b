"""What several test files share: a screen, and that no test is hurried on a slow machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """The name of an X display with two screens of 640 by 400."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed, so no window can be tried (Debian: apt install xvfb)")
    ready, number = os.pipe()
    screens = ["-screen", "0", "640x400x24", "-screen", "1", "640x400x24"]
    # -noreset: else the server starts afresh, deaf for a moment, when its last window closes.
    command = ["Xvfb", "-displayfd", str(number), "-noreset", "-nolisten", "tcp", *screens]
    server = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
    os.close(number)
    try:
        with os.fdopen(ready) as told:
            yield f":{int(told.readline())}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint as far as the stage looks at it: 64 pixels, no weights."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    (folder / "model_index.json").write_text(
        '{"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["t", "CLIPTextModel"]}'
    )
    (folder / "unet" / "config.json").write_text('{"sample_size": 8}')
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    return folder
