"""Who may import what: read from the sources, and once from a fresh interpreter."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGE = (
    "lwlive.stage",
    "lwlive.params",
    "lwlive.controls",
    "lwlive.preset",
    "lwlive.ring",
    "lwlive.messages",
    "lwlive.config",
    "lwlive.cli",
    "lwlive.logs",
    "lwlive.openmp",
    "lwlive.mix",
    "lwlive.encoders",
    "lwlive.movie",
    "lwlive.journalfile",
    "lwlive.files",
    "lwlive.parent",
)
ONLY_IN: dict[str, tuple[str, ...]] = {  # library: the modules, or packages, that may import it
    "torch": ("lwlive.engine", "lwlive.render"),
    "diffusers": ("lwlive.engine",),
    "transformers": ("lwlive.engine",),
    "tokenizers": ("lwlive.engine",),
    "pygame": (
        "lwlive.stage.outputs.window.display",
        "lwlive.stage.outputs.window.monitor",
        "lwlive.stage.outputs.window.lettering",
        "lwlive.stage.outputs.window.painter",
        "lwlive.stage.outputs.window.panels",
        "lwlive.stage.outputs.window.rail",
        "lwlive.stage.outputs.window.screens",
        "lwlive.stage.sources.keys",
    ),
    "link": ("lwlive.stage.sources.link",),
    "pylibremidi": ("lwlive.stage.sources.midi.libremidi",),
    "supriya_midi": ("lwlive.stage.sources.midi.rtmidi",),
    "av": (
        "lwlive.encoders",
        "lwlive.movie",
        "lwlive.render.sound",
        "lwlive.stage.outputs.scaling",
        "lwlive.stage.outputs.streamer",
    ),
    "NDIlib": ("lwlive.stage.outputs.ndi",),
    "SpoutGL": ("lwlive.stage.outputs.spout",),
    "syphon": ("lwlive.stage.outputs.syphon",),
    "miniaudio": ("lwlive.stage.sources.audio.devices",),
    "pythonosc": ("lwlive.stage.sources.osc.subscribers",),
    "PIL": (
        "lwlive.render",
        "lwlive.stage.outputs.snapshots",
        "lwlive.stage.sources.page.preview",
    ),
    "aiohttp": (
        "lwlive.stage.sources.page.clients",
        "lwlive.stage.sources.page.process",
        "lwlive.stage.sources.page.server",
    ),
    "zeroconf": ("lwlive.stage.sources.page.announce",),
    "segno": ("lwlive.stage.qrcode",),
    "scipy": ("lwlive.render.drums",),
    "ray": ("lwlive.render.cluster",),
    "xformers": ("lwlive.engine.attention",),
    "yaml": ("lwlive.engine.convert",),
    "lpips": ("lwlive.render.distance",),
    "click": ("lwlive.cli.flags",),
    "lwlive.cli": ("lwlive.cli", "lwlive.__main__"),  # no import runs back up
    "lwlive.render": ("lwlive.render", "lwlive.cli"),
    "lwlive.stage": ("lwlive.stage", "lwlive.render", "lwlive.cli"),
    "lwlive.engine": ("lwlive.engine", "lwlive.render", "lwlive.cli"),
}
WITHOUT_TORCH = (
    "settings timing routed frames picture sound performance distance drums hearing"  # of render
)
ARITHMETIC = tuple(f"lwlive.engine.{n}" for n in ("walk", "place", "glide", "look", "sampler"))
WORLDLY = "threading _thread time datetime socket multiprocessing concurrent asyncio queue"
WORLDLY += " subprocess pathlib io tempfile shutil"


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: everything outside functions and TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (n for other in child.orelse for n in (other, *executed(other)))
            continue
        yield child
        yield from executed(child)


def imported(here: list[str], nodes: Iterator[ast.AST]) -> set[str]:
    """Dotted names that import statements in the package `here` ask for.

    `from a import b` counts as a and a.b, since b may be a module or a name in one.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def within(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def any_of(names: set[str], *libraries: str) -> bool:
    return any(within(name, libraries) for name in names)


class Package:
    """Each module's tree, its imports `anywhere` in the text, and those made `at_once`."""

    def __init__(self, root: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.anywhere: dict[str, set[str]] = {}
        self.at_once: dict[str, set[str]] = {}
        for path in (root / "lwlive").rglob("*.py"):
            here = list(path.relative_to(root).parent.parts)
            name = ".".join(here if path.stem == "__init__" else [*here, path.stem])
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            self.trees[name] = tree
            self.anywhere[name] = imported(here, ast.walk(tree))
            self.at_once[name] = imported(here, executed(tree))

    def reached(self, module: str) -> set[str]:
        """Everything that importing a module imports, through others of the package too."""
        seen: set[str] = set()
        waiting = {module}
        while waiting:
            name = waiting.pop()
            seen.add(name)
            parents = {name.rpartition(".")[0]} - {""}
            waiting |= (self.at_once.get(name, set()) | parents) - seen
        return seen

    def importers(self, library: str) -> set[str]:
        return {name for name, names in self.anywhere.items() if any_of(names, library)}


@pytest.fixture(scope="module")
def package() -> Package:
    return Package(ROOT)


@pytest.mark.slow
def test_the_stage_imports_no_torch_not_even_through_others(package: Package) -> None:
    stage = [name for name in package.trees if within(name, STAGE)]
    assert stage
    heavy = ("torch", "diffusers", "transformers", "tokenizers")
    assert [name for name in stage if any_of(package.anywhere[name], *heavy)] == []
    assert [name for name in stage if any_of(package.reached(name), *heavy)] == []


@pytest.mark.slow
def test_the_engine_imports_neither_the_stage_nor_pygame(package: Package) -> None:
    engine = [name for name in package.trees if within(name, ("lwlive.engine",))]
    assert engine
    above = ("lwlive.stage", "pygame")
    assert [name for name in engine if any_of(package.anywhere[name], *above)] == []
    assert [name for name in engine if any_of(package.reached(name), *above)] == []


def test_a_render_knows_no_windows_and_its_files_no_torch(package: Package) -> None:
    places = ("lwlive.render", "lwlive.cli.render")
    render = [name for name in package.trees if within(name, places)]
    assert render
    assert [name for name in render if any_of(package.reached(name), "pygame")] == []
    plain = [f"lwlive.render.{name}" for name in WITHOUT_TORCH.split()]
    assert set(plain) <= set(render)
    assert [name for name in plain if any_of(package.reached(name), "torch", "diffusers")] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(package: Package, library: str) -> None:
    strays = {name for name in package.importers(library) if not within(name, ONLY_IN[library])}
    assert strays == set()


def test_walk_and_sampler_hold_no_threads_clocks_or_files(package: Package) -> None:
    for name in set(ARITHMETIC) & set(package.trees):
        assert not any_of(package.anywhere[name], *WORLDLY.split()), name
        calls = {
            ast.unparse(n.func) for n in ast.walk(package.trees[name]) if isinstance(n, ast.Call)
        }
        assert not calls & {"open", "io.open", "torch.load", "torch.save"}, name


def test_a_forbidden_import_is_found_behind_another_module(tmp_path: Path) -> None:
    files = {
        "lwlive/__init__.py": "",
        "lwlive/params.py": "from . import messages",
        "lwlive/messages.py": "from lwlive.engine import walk",
        "lwlive/engine/__init__.py": "",
        "lwlive/engine/walk.py": "try:\n    import torch.nn\nexcept ImportError:\n    pass",
        "lwlive/stage/__init__.py": "",
        "lwlive/stage/late.py": "from ..engine import calm\ndef f():\n    import torch",
        "lwlive/engine/calm.py": "def f():\n    import torch",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    package = Package(tmp_path)
    assert any_of(package.reached("lwlive.params"), "torch")
    assert not any_of(package.reached("lwlive.stage.late"), "torch")
    assert package.importers("torch") == {
        "lwlive.engine.walk",
        "lwlive.engine.calm",
        "lwlive.stage.late",
    }


def test_importing_the_stage_and_the_command_line_loads_no_torch(package: Package) -> None:
    names = [name for name in package.trees if within(name, STAGE)]
    code = "\n".join(f"import {name}" for name in sorted(names))
    code += "\nimport sys; print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"  # pygame greets on the lines before


def test_a_show_without_a_page_loads_no_web_server() -> None:
    code = "import sys, lwlive.stage.rig, lwlive.stage.show, lwlive.cli.perform; "
    code += "print({'aiohttp', 'asyncio', 'zeroconf', 'segno', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_the_command_line_waits_for_no_library_that_it_does_not_need() -> None:
    slow = "asyncio numpy pygame av multiprocessing pydantic_settings huggingface_hub"
    code = "import sys; from lwlive.cli import arguments; arguments.parse(['--speed', '1']); "
    code += f"print({{*{slow.split()}}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
