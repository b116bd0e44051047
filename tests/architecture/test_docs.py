"""The documents are about this code: what they name exists, and what exists is named."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import click
import pytest

from bootstrap.settings import PREFIX, Settings
from remote.sources.base import REQUIRED_COLUMNS
from tests.architecture import sources
from workers.cli import main

README = sources.PROJECT / "README.md"
PICTURES = sources.PROJECT / "docs" / "pictures"
_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"obsync ((?:[a-z]+(?:-[a-z]+)* ?)+)")
_OPTION = re.compile(r"(?<!\S)--[a-z-]+")
_MAKE = re.compile(r"\bmake ([a-z]+)\b")


def documents() -> list[Path]:
    """Every document of the project."""
    return sorted([*sources.PROJECT.glob("*.md"), *(sources.PROJECT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(sources.PROJECT))


def code_of(text: str) -> list[str]:
    """What a document shows as code: spans, and the lines of blocks."""
    blocks = [line.strip() for block in _FENCE.findall(text) for line in block.splitlines()]
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return _CODE.findall(_FENCE.sub("", text)) + blocks + indented


def rows(document: Path, pattern: str) -> list[list[str]]:
    """The cells of the table rows whose first cell matches `pattern` whole."""
    lines = (line for line in document.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [row for row in cells if re.fullmatch(pattern, row[0])]


# --- links ------------------------------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """The names under which the headings of a document can be linked to."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path, *, root: Path = sources.PROJECT) -> list[str]:
    """The relative links of a document that lead nowhere."""
    found = []
    for link in _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if "://" in link:
            continue
        inside = target.is_relative_to(root) and target.exists()
        if not inside or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    """Somebody at three in the morning follows a runbook by its links."""
    assert broken_links(document) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    """The test above is worth what this one shows."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[a](missing.md) [b](#a-page) [c](#nowhere) [d](https://example.edu/x)\n", encoding="utf-8"
    )
    assert broken_links(page, root=tmp_path) == ["missing.md", "#nowhere"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A page that nothing links to is not read, and so not kept."""
    reached, following = set[Path](), [README]
    while following:
        page = following.pop()
        if page in reached:
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(page.read_text(encoding="utf-8")))
        following += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert sorted(map(name_of, set(documents()) - reached)) == []


# --- commands -----------------------------------------------------------------------------------------------------------


def commands(group: click.Group = main, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something by itself, with its name in words."""
    for name, command in group.commands.items():
        words = (*before, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield words, command
        if isinstance(command, click.Group):
            yield from commands(command, *words)


def test_the_readme_lists_exactly_the_commands_there_are() -> None:
    """A command that is not listed is not found; one that is listed and gone is a reader's wasted hour."""
    listed = [row[0].strip("`") for row in rows(README, r"`obsync [a-z -]+`")]
    assert sorted(listed) == sorted("obsync " + " ".join(words) for words, _ in commands())


def unknown_commands(text: str) -> list[str]:
    """What is shown as a call of obsync and is none, options included."""
    known = dict(commands())
    groups = {words[:length] for words in known for length in range(1, len(words))}
    found = []
    for code in code_of(text):
        for call in _COMMAND.finditer(code):
            words = tuple(call[1].split())
            longest = max((words[:n] for n in range(len(words), 0, -1) if words[:n] in known), key=len, default=())
            rest = code[call.end() :].split("`")[0].split("(")[0]
            options = {
                name for one in (known[longest].params if longest else ()) for name in (*one.opts, *one.secondary_opts)
            }
            if (not longest and words not in groups) or set(_OPTION.findall(rest)) - options - {"--help"}:
                found.append(code)
    return found


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_call_of_obsync_that_is_shown_can_be_made(document: Path) -> None:
    """What people copy from a page must not answer with a usage message."""
    assert unknown_commands(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("call", ["obsync resync", "obsync sync --quickly", "obsync dead requeue --every"])
def test_a_call_that_does_not_exist_is_noticed(call: str) -> None:
    """The test above is worth what this one shows."""
    assert unknown_commands(f"Run `{call}`, or `obsync dead requeue --all`.") == [call]


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_make_target_that_is_shown_exists(document: Path) -> None:
    """The first thing anybody types comes from the first page."""
    makefile = (sources.PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    code = code_of(document.read_text(encoding="utf-8"))
    shown = {target for line in code for target in _MAKE.findall(line)}
    assert shown <= targets, shown - targets


# --- settings, folders, columns -----------------------------------------------------------------------------------------


def test_the_readme_lists_exactly_the_settings_there_are() -> None:
    """A setting nobody can find is a default nobody can leave."""
    listed = [row[0].strip("`") for row in rows(README, r"`OBSYNC_[A-Z_]+`")]
    assert sorted(listed) == sorted(PREFIX + field.name.upper() for field in dataclasses.fields(Settings) if field.init)


def test_the_readme_tells_the_real_defaults() -> None:
    """Somebody sizes a database or a rate by these numbers."""
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(README, r"`OBSYNC_[A-Z_]+`")}
    wrong = {}
    for field in dataclasses.fields(Settings):
        value = field.default
        if field.init and value is not dataclasses.MISSING and value != "":
            said = f"{value:g}" if isinstance(value, float) else str(value)
            if told[PREFIX + field.name.upper()] != said:
                wrong[field.name] = said
    assert wrong == {}


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_setting_that_is_named_exists(document: Path) -> None:
    """A slip in a runbook is refused by the product at the worst moment."""
    known = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)} | {"OBSYNC_TEST_DATABASES"}
    assert set(re.findall(r"OBSYNC_[A-Z_]+[A-Z]", document.read_text(encoding="utf-8"))) <= known


def test_the_readme_lists_exactly_the_folders_there_are() -> None:
    """Whoever looks for a line of code begins here."""
    made_at_run_time = {"var", "build", "dist"}
    there = {path.name for path in sources.PROJECT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    tracked = {name for name in there - made_at_run_time if not name.endswith((".egg-info", "__pycache__"))}
    listed = [row[0].strip("`/") for row in rows(README, r"`[a-z]+/`") if len(row) == 2 and row[0] != "`valkey/`"]
    assert sorted(listed) == sorted(tracked)


def test_the_readme_lists_the_columns_that_a_source_must_have() -> None:
    """A refused file sends its owner to this table."""
    told = {re.findall(r"`(\w+)`", row[0])[0]: row[1] for row in rows(README, r"`[a-z]+` \w+") if len(row) == 3}
    assert sorted(told) == sorted(REQUIRED_COLUMNS)
    for part, demands in REQUIRED_COLUMNS.items():
        wanted = {column for groups in demands for group in groups for column in group}
        assert set(re.findall(r"`(\w+)`", told[part])) == wanted, part


# --- glossary and pictures ----------------------------------------------------------------------------------------------


def test_the_glossary_gives_each_word_one_meaning() -> None:
    """Two rows for one word, or two words for one Chinese one, and people talk past each other."""
    told = [row for row in rows(sources.PROJECT / "docs" / "glossary.md", r"[a-z ]+") if len(row) == 3]
    entries = [row for row in told if row[0] != "word"]
    assert len(entries) > 40
    for column in (0, 1):
        words = [row[column] for row in entries]
        assert sorted(words) == sorted(set(words))


def picture_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", PICTURES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_a_run_is_the_screen_of_a_run() -> None:
    """A picture of an older screen makes people look for what is not there. Draw it: python docs/pictures/make.py"""
    assert (PICTURES / "run.svg").read_text(encoding="utf-8") == picture_maker().render()


@pytest.mark.parametrize("picture", sorted(PICTURES.glob("*.svg")), ids=name_of)
def test_a_picture_calls_nobody(picture: Path) -> None:
    """A font or image from the network tells a stranger who reads our pages, and is missing where there is no network."""
    text = picture.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|<script|<image", text)
