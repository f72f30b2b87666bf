"""A shell as the reader of a page has one: commands one after the other, in one folder."""

import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which a command that says nothing more is taken to be stuck."""

_MARK = "--- the command has ended ---"
_ENDED = re.compile(rf"\n{_MARK} (\d+)\n")


class Shell:
    """One bash process and what it starts; `close` ends all of it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=_environment() | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._said = ""

    def run(self, command: str, enough: Callable[[str], bool]) -> tuple[str, int]:
        """What a command prints and its exit status.

        A command that ends in `&` goes on; what it prints is waited for until it is `enough`.
        """
        # In braces, so that the command does not read the next one as its standard input.
        line = f"{{ {command}\n}} </dev/null 2>&1\nprintf '\\n{_MARK} %s\\n' \"$?\"\n"
        self._stdin.write(line.encode())
        while (ended := _ENDED.search(self._said)) is None:
            self._hear(command)
        said, self._said = self._said[: ended.start()], self._said[ended.end() :]
        while command.endswith("&") and not enough(said + self._said):
            self._hear(command)
        if command.endswith("&"):
            said, self._said = said + self._said, ""
        return said, int(ended[1])

    def close(self) -> None:
        """End the shell and everything it has started."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._stdin.close()
        while self._selector.select(PATIENCE) and os.read(self._stdout.fileno(), 1 << 16):
            continue
        self._selector.close()
        self._stdout.close()
        self._process.wait(PATIENCE)

    def _hear(self, command: str) -> None:
        assert self._selector.select(PATIENCE), f"$ {command}\nhas not ended: {self._said}"
        data = os.read(self._stdout.fileno(), 1 << 16)
        assert data, f"$ {command}\nended the shell: {self._said}"
        self._said += data.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """This process's environment with our commands first, and nothing that points at another project."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOPWARD_", "GIT_"))}
    binaries = str(Path(sys.executable).parent)
    return kept | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "LOGNAME": "ines",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
