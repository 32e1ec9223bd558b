"""What the READMEs say is what the code says: tables, the tree of files, links, pictures."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from lwlive import preset
from lwlive.params import table
from lwlive.stage.sources.midi.box import table as boxes_table
from lwlive.stage.sources.midi.row import table as bindings_table
from lwlive.stage.sources.osc.addresses import addresses, addresses_table

ROOT = Path(__file__).resolve().parent.parent
FIRST, INSIDE = ROOT / "README.md", ROOT / "lwlive" / "README.md"
STAGE = ROOT / "lwlive" / "stage" / "README.md"
ALL = (
    FIRST,
    INSIDE,
    STAGE,
    ROOT / "lwlive" / "render" / "README.md",
    ROOT / "lwlive" / "ember" / "README.md",
    ROOT / "scripts" / "README.md",
)
MOST_LINES = 150  # of the first one
MOST_BYTES = 3_000_000  # of the moving picture
LINK = re.compile(r"\[[^\[\]]*\]\(([^)\s]+)\)")


def between(readme: Path, name: str) -> str:
    text = readme.read_text("utf-8")
    return text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


def anchors(readme: Path) -> set[str]:
    """The headings, as links name them."""
    text = re.sub(r"^```.*?^```", "", readme.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def listed() -> list[str]:
    """The files that the tree names, each as a path; two blanks more are one folder further in."""
    folders: list[str] = []
    found = []
    for line in between(INSIDE, "tree").strip("`").strip().splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        if name.endswith("/"):
            folders.append(name)
        else:
            found.append("".join([*folders, name]))
        assert name == "lwlive/" or len(line.split()) > 1, f"{name} has no words"
    return found


def test_the_parameters_are_those_declared() -> None:
    assert between(STAGE, "parameters") == table()


def test_the_keys_are_those_declared() -> None:
    from lwlive.stage.sources.keys import keys_table

    assert between(STAGE, "keys") == keys_table()


def test_the_addresses_are_those_listened_to() -> None:
    assert between(STAGE, "addresses") == addresses_table()


def test_the_keys_of_bindings_and_the_ready_boxes_are_those_there_are() -> None:
    assert between(STAGE, "bindings") == bindings_table()
    assert between(STAGE, "boxes") == boxes_table()


def test_the_table_of_addresses_has_a_row_for_each_that_markdown_can_read() -> None:
    head, line, *rows = addresses_table().splitlines()
    assert len(rows) == len(addresses())
    for address, row in zip(addresses(), rows, strict=True):
        assert len(re.split(r"(?<!\\)\|", row)) == len(head.split("|")) == len(line.split("|"))
        assert f"`{address.address}`" in row


def test_the_tree_names_every_file_once() -> None:
    files = (ROOT / "lwlive").rglob("*.py")
    wanted = [path.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py"]
    assert sorted(listed()) == sorted(wanted)


def test_the_presets_have_a_row_each_in_the_order_of_their_keys() -> None:
    rows = re.findall(r"^\| \d? \| \*\*.*$", FIRST.read_text("utf-8"), re.MULTILINE)
    wanted = []
    for number, path in enumerate(preset.bundled(), 1):
        about = tomllib.loads(path.read_text("utf-8"))["about"]
        name, key = path.stem, number if number <= 9 else ""
        wanted.append(f"| {key} | **{name}**: {about} | ![{name}](presets/{name}.jpg) |")
    assert rows == wanted


def test_the_words_of_ember_are_counted() -> None:
    kinds = json.loads((ROOT / "lwlive" / "ember" / "words.json").read_text("utf-8")).values()
    count = sum(len(words) for kind in kinds for words in kind.values())
    for readme in (FIRST, INSIDE):
        assert re.findall(r"(\d+) words", readme.read_text("utf-8")) == [str(count)]


@pytest.mark.parametrize("readme", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(readme: Path) -> None:
    links = LINK.findall(readme.read_text("utf-8"))
    assert links or readme.parent.name == "ember"
    for link in links:
        file, _, anchor = link.partition("#")
        target = (readme.parent / file).resolve() if file else readme
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("readme", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_row_of_a_table_stands_in_one(readme: Path) -> None:
    text = re.sub(r"^```.*?^```", "", readme.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = block.splitlines()
        assert re.fullmatch(r"\|[-| :]+\|", rows[1] if len(rows) > 1 else ""), rows[0]


def test_every_readme_can_be_reached_from_the_first() -> None:
    reached, waiting = set(), [FIRST]
    while waiting:
        readme = waiting.pop()
        reached.add(readme)
        files = {link.partition("#")[0] for link in LINK.findall(readme.read_text("utf-8"))}
        linked = {(readme.parent / file).resolve() for file in files if file.endswith(".md")}
        waiting += linked - reached
    assert reached == set(ALL)


def test_the_first_readme_is_short_and_its_moving_picture_small() -> None:
    assert len(FIRST.read_text("utf-8").splitlines()) <= MOST_LINES
    assert (ROOT / "presets" / "bend.webp").stat().st_size <= MOST_BYTES
