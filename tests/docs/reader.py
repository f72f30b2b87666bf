"""A reader who follows one page to the letter: writes its files, types its commands, edits its configuration.

What a block is, its language says; what is done with it, the directives on the lines before it:

    <!-- file: NAME -->      the block is written to NAME in the reader's folder
    <!-- edit: NAME -->      the tables of the block replace those of NAME, a TOML file
    <!-- given: PAGE NAME -->  the file NAME, as PAGE tells its readers to write it, is in the folder already
    <!-- first: COMMAND -->  a command that the reader has typed before, though the page does not show it
    <!-- schema: NAME -->    a JSON block is one of shared/schema/NAME.json
    <!-- status: N -->       the last command of a console block ends with exit status N
    <!-- not run: WHY -->    the block cannot be run by the tests
    <!-- project: NAME -->   anywhere on a page: its folder is a project that guards the example support desk

Addresses of the page (`127.0.0.1:8700` and so on) are moved to free ports, `/home/you/notes` is the folder,
`local:lena` the user who runs the tests.
"""

import json
import re
import socket
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import tomlkit

from hopward.cedar import CedarEngine
from hopward.classification import classified
from hopward.config import checked_settings, read_settings
from hopward.osuser import os_user
from hopward.settings import AuthoritySettings

from .expected import Known
from .markdown import ROOT, Block, Page, page
from .project import EXAMPLE, support_desk
from .shell import Shell

PORTS = ("8700", "8701", "8800", "8801")
HOME = "/home/you/notes"
USER = "local:lena"
PLAIN = ("", "text")
"""Blocks that show something and are no input for anything."""


class Reader:
    """Follows the blocks of one page in a folder of its own."""

    def __init__(self, shown: Page, folder: Path, shell: Shell) -> None:
        self._page = shown
        self._folder = folder
        self._shell = shell
        self._known = Known()
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._moved = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self._move()

    def follow(self, block: Block) -> None:
        """Do what a block says; raises `AssertionError` where something else happens than the page says."""
        if "not run" in block.directives:
            return
        for name, text in _given(block).items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(text), "utf-8")
        if "first" in block.directives:
            self._step(block.directives["first"], "...", 0)
        _FOLLOWED[block.language](self, block)

    def console(self, block: Block) -> None:
        """Each `$ ` line is a command; the lines after it are what it prints."""
        steps = list(_steps(block.text))
        for number, (command, shown) in enumerate(steps, 1):
            last = number == len(steps)
            self._step(command, shown, int(block.directives.get("status", 0)) if last else 0)

    def python(self, block: Block) -> None:
        """Written to its file, or run right here; all blocks of a page share their names."""
        code = compile(self._here(block.text), f"{self._page.name}:{block.line}", "exec")
        if not self._written(block):
            # What the page tells its readers to run.
            exec(code, self._names)  # noqa: S102

    def toml(self, block: Block) -> None:
        """A whole file, an edit of one, or a fragment that must fit into one."""
        text = self._here(block.text)
        if self._written(block):
            if block.directives["file"] == "hopward.toml":
                read_settings(self._folder / "hopward.toml")
            return
        config = self._config
        merged = tomlkit.parse(config.read_text("utf-8"))
        _merge(merged, tomlkit.parse(text))
        checked_settings(tomlkit.dumps(merged), config)
        if "edit" in block.directives:
            (self._folder / block.directives["edit"]).write_text(tomlkit.dumps(merged), "utf-8")

    def cedar(self, block: Block) -> None:
        """Policies that the classified tools of the page's configuration fit."""
        settings = read_settings(self._config)
        CedarEngine({"page.cedar": block.text}, classified(settings.servers), settings.approvals.groups)
        self._written(block)

    def json(self, block: Block) -> None:
        """Well-formed, and one of the schema it is said to be of."""
        value = json.loads(block.text)
        if "schema" in block.directives:
            schema = ROOT / "shared" / "schema" / f"{block.directives['schema']}.json"
            jsonschema.validate(value, json.loads(schema.read_text("utf-8")))
        self._written(block)

    def sql(self, block: Block) -> None:
        """Each statement is answered by the decision log, with at least one row."""
        log = self._folder / ".hopward" / "decisions.db"
        with closing(sqlite3.connect(f"{log.as_uri()}?mode=ro", uri=True)) as connection:
            for statement in filter(str.strip, block.text.split(";")):
                assert connection.execute(statement).fetchall(), f"no row: {statement}"

    def plain(self, block: Block) -> None:
        """Shown only; a block with commands in it would have to be a console block."""
        commands = [line for line in block.text.splitlines() if line.startswith("$ ")]
        assert commands == [], "commands belong into a ```console block"

    def _step(self, command: str, shown: str, status: int) -> None:
        typed = self._here(self._known.actual(command))
        printed, ended = self._shell.run(typed, lambda said: self._shows(shown, said))
        self._move()
        told = f"$ {typed}\nexit status {ended}\n--- printed:\n{printed}\n--- shown on the page:\n{shown}"
        assert self._shows(shown, printed), told
        assert ended == status, told

    def _shows(self, shown: str, printed: str) -> bool:
        return self._known.matches(shown, self._there(printed))

    def _written(self, block: Block) -> bool:
        name = block.directives.get("file")
        if name is None:
            return False
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(block.text), "utf-8")
        return True

    @property
    def _config(self) -> Path:
        own = self._folder / "hopward.toml"
        return own if own.exists() else EXAMPLE / "hopward.toml"

    def _here(self, text: str) -> str:
        for port, free in self._moved.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}").replace(
                f"port={port}", f"port={free}"
            )
        return text.replace(HOME, str(self._folder)).replace(USER, os_user())

    def _there(self, text: str) -> str:
        for port, free in self._moved.items():
            text = text.replace(f"127.0.0.1:{free}", f"127.0.0.1:{port}")
        return text.replace(str(self._folder), HOME).replace(os_user(), USER)

    def _move(self) -> None:
        """Move the addresses in the configuration, also the one that stands there by default only."""
        config = self._folder / "hopward.toml"
        if not config.exists():
            return
        written = config.read_text("utf-8")
        listen = f'[authority]\nlisten = "{self._here(AuthoritySettings(issuer="").listen)}"\n'
        moved = re.sub(r"^\[authority\]\n(?!listen)", listen, self._here(written), flags=re.MULTILINE)
        if moved != written:
            config.write_text(moved, "utf-8")


_FOLLOWED: dict[str, Callable[[Reader, Block], None]] = {
    "console": Reader.console,
    "python": Reader.python,
    "toml": Reader.toml,
    "cedar": Reader.cedar,
    "json": Reader.json,
    "sql": Reader.sql,
    **dict.fromkeys(PLAIN, Reader.plain),
}

LANGUAGES = tuple(_FOLLOWED)


@contextmanager
def reading(shown: Page, folder: Path) -> Generator[Reader]:
    """A reader of a page, in an empty folder or in the project the page asks for."""
    with ExitStack() as opened:
        if "<!-- project: support_desk -->" in shown.text:
            support_desk(folder)
        shell = opened.enter_context(closing(Shell(folder)))
        yield Reader(shown, folder, shell)


def _given(block: Block) -> dict[str, str]:
    """The files that another page has told its readers to write."""
    shown, *names = block.directives.get("given", "README.md").split()
    written = {one.directives["file"]: one.text for one in page(shown).blocks if "file" in one.directives}
    return {name: written[name] for name in names}


def _steps(text: str) -> Iterator[tuple[str, str]]:
    """Commands and what they print. After a final backslash, a command goes on in a line that begins `> `."""
    command, shown = "", ""
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), ""
        elif line.startswith("> ") and command.endswith("\\") and not shown:
            command = f"{command}\n{line.removeprefix('> ')}"
        else:
            assert command, "a console block begins with `$ `"
            shown += f"{line}\n"
    yield command, shown


def _merge(document: Any, fragment: Any) -> None:
    for key, value in fragment.items():
        if key in document and isinstance(value, dict) and isinstance(document[key], dict):
            _merge(document[key], value)
        else:
            document[key] = value


def _free_ports(count: int) -> list[str]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(one.getsockname()[1]) for one in sockets]
