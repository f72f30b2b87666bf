"""A shell for tests: `shell("task list")` runs `hopward task list` and returns what it printed."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from hopward.cli import verbs


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """One JSON value per line of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands in `folder`. A call expects success; `fails` expects the given exit status."""

    folder: Path

    def __call__(self, line: str, *, typed: str = "") -> Printed:
        printed = self.run(line, typed=typed)
        assert printed.status == 0, f"$ hopward {line}\n{printed.out}{printed.err}"
        return printed

    def fails(self, line: str, status: int = 1) -> Printed:
        printed = self.run(line)
        assert printed.status == status, f"$ hopward {line}\n{printed.out}{printed.err}"
        assert "Traceback" not in printed.out + printed.err
        return printed

    def run(self, line: str, *, typed: str = "") -> Printed:
        result = CliRunner().invoke(verbs, shlex.split(line), input=typed, prog_name="hopward")
        return Printed(result.exit_code, result.stdout, result.stderr)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def executable(folder: Path, line: str, **variables: str) -> Printed:
    """Run the installed `hopward` itself, as its own process."""
    found = Path(sys.executable).with_name("hopward")
    done = subprocess.run(
        [str(found), *shlex.split(line)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return Printed(done.returncode, done.stdout, done.stderr)
