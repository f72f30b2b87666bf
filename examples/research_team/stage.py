"""Where an example runs: a folder of its own with the configuration, the keys and the decision log."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOPWARD = Path(sys.executable).with_name("hopward")


@contextmanager
def stage() -> Generator[Path]:
    """A fresh installation: in `--folder`, which has to be empty and stays, or in a folder that goes away."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as passing:
        place: Path = folder or Path(passing)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            sys.exit(f"{place} is not empty; name another folder.")
        shutil.copytree(HERE / "policies", place / "policies")
        for name in ("hopward.toml", "archive.py"):
            text = (HERE / name).read_text("utf-8")
            (place / name).write_text(text.replace('"python"', json.dumps(sys.executable)), "utf-8")
        hopward(place, "init")
        yield place


def hopward(folder: Path, *arguments: str) -> str:
    """What a `hopward` command prints."""
    command = [str(HOPWARD), *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def show(messages: list[Any]) -> None:
    """The tool messages of a run, as the model got them."""
    for message in messages:
        if message.type == "tool":
            print(f"  {message.name}: {message.status}: {message.text}")
