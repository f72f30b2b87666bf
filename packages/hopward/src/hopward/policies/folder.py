"""The policies folder: which files count, their texts, and what tells that one of them has changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from hopward.errors import ConfigError
from hopward.exposure import check_unexposed

LARGEST_FILE = 1024 * 1024
"""Bytes of one policy file."""

_ADVICE = "`hopward init` writes starter policies; `hopward policy check` says what is wrong with a set."

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int, int], ...]
"""Name, inode, size, and times of content and status change (ns) of every file."""


def read_folder(folder: Path) -> dict[str, str]:
    """File name -> text of every `*.cedar` file directly in a folder; names that start with `.` do not count.

    Raises `ConfigError` listing every file that cannot be used, where there is none at all, and where
    everyone could change one. A `.cedar` file in a folder below is refused rather than silently left out.
    """
    check_unexposed(folder)
    problems = [
        f"{name}: only files directly in {folder.name}/ are read; move it there" for name in _deep(folder)
    ]
    texts: dict[str, str] = {}
    for file in _files(folder):
        try:
            texts[file.name] = _text(file)
            check_unexposed(file)
        except ValueError as error:
            problems.append(f"{_shown(file.name)}: {error}")
    if problems:
        raise ConfigError("The policies cannot be used.", problems=tuple(problems), advice=_ADVICE)
    if not texts:
        raise ConfigError(f"There is no policy file (*.cedar) in {folder}.", advice=_ADVICE)
    return texts


def fingerprint(folder: Path) -> Fingerprint:
    """Equal only if, as far as the file system tells, no file was added, removed or changed."""
    return tuple(_prints(folder))


def _prints(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    for file in _files(folder):
        try:
            found = file.stat()
        except OSError:
            continue
        yield file.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError:
        return []
    return [folder / name for name in names if name.endswith(".cedar") and not name.startswith(".")]


def _deep(folder: Path) -> list[str]:
    """Policy files in folders below; hidden folders do not count (a mounted Kubernetes volume has some)."""
    found = (file.relative_to(folder) for file in folder.glob("*/**/*.cedar"))
    return sorted(_shown(str(file)) for file in found if not any(part.startswith(".") for part in file.parts))


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _text(file: Path) -> str:
    """The text of a file; raises `ValueError` saying why it cannot be used."""
    if not file.name.isprintable():
        raise ValueError("its name holds signs that cannot be shown")
    try:
        # Opening a named pipe would wait for a writer, and every call with it.
        if file.exists() and not file.is_file():
            raise ValueError("cannot be read: it is no file")
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from None
