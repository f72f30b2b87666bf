"""Somebody at a browser whom an MCP client sends to the authority, as processes on this machine see it."""

import html
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2

from .project import HOPWARD, Project
from .running import PATIENCE, Running
from .served import Serve, ended, free_port, served

SUBJECT = "ines@desk.example"
CLIENT = "client:desktop"
BACK = "http://127.0.0.1:4711/callback"
LOGIN = f"""
[approvals]
page = "ISSUER"

[clients.desktop]
name = "Desk assistant"
redirect_uris = ["{BACK}", "http://localhost/callback"]
"""


@dataclass
class Person:
    """A browser that is paired, and presses what it is told to. `seen` are the pages with a question."""

    issuer: str
    code: str
    answer: str = "yes"
    leave_out: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A program may open its browser a moment before it listens itself.
        retrying = httpx2.HTTPTransport(retries=8, trust_env=False)
        self._http = httpx2.Client(timeout=PATIENCE, transport=retrying, trust_env=False)
        self._post("/pair", {"code": self.code, "label": "laptop"})

    def close(self) -> None:
        self._http.close()

    def led_to(self, url: str) -> dict[str, str]:
        """Look at a page, press a button, and what the client is told by the address one is sent back to."""
        return dict(parse_qsl(urlsplit(self._pressed(url)).query))

    def opens(self, url: str) -> bool:
        """The same as a browser does it that a program starts: it goes where it is sent to, by itself."""
        threading.Thread(target=lambda: self._http.get(self._pressed(url)), daemon=True).start()
        return True

    def _pressed(self, url: str) -> str:
        page = self._http.get(url)
        assert page.status_code == 200, page.text
        self.seen.append(page.text)
        main = page.text.partition("<main>")[2].partition("</main>")[0]
        inputs = [dict(re.findall(r'([\w-]+)="([^"]*)"', one)) for one in re.findall(r"<input([^>]*)>", main)]
        fields = {one["name"]: html.unescape(one["value"]) for one in inputs}
        kept = {name: value for name, value in fields.items() if value not in self.leave_out}
        return self._post("/authorize", kept | {"answer": self.answer})

    def _post(self, path: str, fields: dict[str, str]) -> str:
        answer = self._http.post(self.issuer + path, data=fields, headers={"Origin": self.issuer})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


@dataclass
class Place:
    """A project whose proxy and authority run, and somebody who logs in there."""

    project: Project
    person: Person

    @property
    def endpoint(self) -> str:
        return self.project.endpoint()

    def events(self) -> list[str]:
        """What has happened to logins, oldest first."""
        return [row.record["event"] for row in self.project.rows(kind="login")]


@contextmanager
def logging_in(folder: Path, extra: str = "") -> Iterator[Place]:
    """A recorder behind the proxy, the authority, and a person whose browser is paired."""
    issuer = f"127.0.0.1:{free_port()}"
    with served(folder) as project:
        listening = f'issuer = "http://{issuer}"\nlisten = "{issuer}"\n'
        project.change('issuer = "http://127.0.0.1:8700"\n', listening)
        project.change('purpose = "Write notes"\n', f'purpose = "Write notes"\nlogin = ["{SUBJECT}"]\n')
        more = LOGIN.replace("ISSUER", f"http://{issuer}") + extra
        project.config.write_text(project.config.read_text("utf-8") + more, "utf-8")
        with (
            ended(Running([str(HOPWARD), "authority", "serve"], folder)) as authority,
            ended(Serve(project)),
        ):
            authority.wait_for("listens on")
            told = project.hopward("authority", "pair", SUBJECT)
            code = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", told)
            assert code, told
            person = Person(f"http://{issuer}", code[0])
            try:
                yield Place(project, person)
            finally:
                person.close()
