"""A copy of the firm's project, before an office that runs, with one thing in it changed or taken away."""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hopward.keys import KeyRing
from hopward.osuser import os_user
from hopward.project import create

PROJECT = Path(__file__).with_name("project")


@dataclass(frozen=True)
class Without:
    """A policy that is not there."""

    policy: str

    def __str__(self) -> str:
        return f"without policy `{self.policy}`"

    def change(self, folder: Path) -> None:
        pattern = re.compile(rf'@id\("{re.escape(self.policy)}"\)[^;]*;')
        found = 0
        for file in (folder / "policies").glob("*.cedar"):
            text, count = pattern.subn("", file.read_text("utf-8"))
            file.write_text(text, "utf-8")
            found += count
        assert found == 1, f"{found} policies {self.policy}"


@dataclass(frozen=True)
class Instead:
    """Another text in hopward.toml where the firm has `old`, which stands there once behind `after`."""

    old: str
    new: str
    after: str = ""

    def __str__(self) -> str:
        old, new = self.old.splitlines(), [line for line in self.new.splitlines() if line.strip()]
        added = [line for line in new if line not in old]
        return (
            f"with `{'`, `'.join(one.strip(', ') for one in added)}`"
            if added
            else f"without `{self.old.strip(', ' + chr(10))}`"
        )

    def change(self, folder: Path) -> None:
        config = folder / "hopward.toml"
        text = config.read_text("utf-8")
        start = text.index(self.after)
        assert text.count(self.old, start) == 1 or (self.after and self.old in text[start:]), self.old
        config.write_text(text[:start] + text[start:].replace(self.old, self.new, 1), "utf-8")


@dataclass(frozen=True)
class Classified:
    """A tool that somebody has classified after all."""

    server: str
    tool: str
    action: str
    destination: str

    def __str__(self) -> str:
        return f"with `{self.server}/{self.tool}` classified"

    def change(self, folder: Path) -> None:
        entry = f"""
[servers.{self.server}.tools.{self.tool}]
action = "{self.action}"
sensitivity = "internal"
integrity = "trusted"
destination = "{self.destination}"
"""
        with (folder / "hopward.toml").open("a", encoding="utf-8") as file:
            file.write(entry)


@dataclass(frozen=True)
class Unchecked:
    """The firm's servers ask nobody for a credential."""

    def __str__(self) -> str:
        return "where servers ask for no credential"

    def change(self, folder: Path) -> None:
        (folder / "unchecked").write_bytes(b"")


Change: TypeAlias = Without | Instead | Classified | Unchecked


def template(folder: Path) -> None:
    """What `hopward init` makes of the project, with the firm's own policies: keys, and an empty log."""
    folder.mkdir()
    shutil.copy(PROJECT / "hopward.toml", folder)
    create(folder)
    shutil.copytree(PROJECT / "policies", folder / "policies", dirs_exist_ok=True)
    keys = KeyRing.open(folder / ".hopward" / "keys").jwks()
    (folder / "jwks.json").write_text(json.dumps(keys), "utf-8")


def settled(folder: Path, office: str, port: int, changes: Iterable[Change] = ()) -> Path:
    """The hopward.toml of a copy of the template, changed: its servers are at the URL `office`, its proxy is
    to listen at the port, and the user of this machine is one who may approve."""
    for change in changes:
        change.change(folder)
    config = folder / "hopward.toml"
    text = config.read_text("utf-8").replace("http://127.0.0.1:8802/", office)
    text = text.replace("127.0.0.1:8801", f"127.0.0.1:{port}").replace("local:you", os_user())
    config.write_text(text, "utf-8")
    return config
