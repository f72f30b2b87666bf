"""Whether a server's command still is what somebody has looked at: the digests in its `digests`.

Covered is every file that `command` names, the program itself among them. What these load in turn is not, nor
what is put in their place between here and the start.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hopward import ConfigError


def pinned(
    words: tuple[str, ...], digests: Collection[str], environment: Mapping[str, str], directory: Path
) -> tuple[str, ...]:
    """The words to start, the program with its whole path; raises `ConfigError` for a file not in `digests`.

    `environment` and `directory` are those of the process that is to be started.
    """
    program = _program(words[0], environment, directory)
    for path in (program, *_files(words[1:], directory)):
        found = _digest(path)
        if found not in digests:
            raise ConfigError(
                f"The server is not started: {path} has a digest that is not listed, {found}.",
                advice="If this is the file you mean, add that to `digests` of this server in hopward.toml.",
            )
    return (str(program), *words[1:])


def _program(word: str, environment: Mapping[str, str], directory: Path) -> Path:
    if os.path.dirname(word):
        return directory / word
    found = shutil.which(word, path=os.pathsep.join(os.get_exec_path(environment)))
    if found is None:
        raise ConfigError(
            f"The server's command {word!r} cannot be started: it is not on the PATH.",
            advice="Check `command` and `environment` of this server in hopward.toml.",
        )
    return directory / found


def _files(words: tuple[str, ...], directory: Path) -> Iterator[Path]:
    for word in words:
        path = directory / word
        try:
            if word and path.is_file():
                yield path
        except (OSError, ValueError):
            # No file has such a name.
            continue


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"The server is not started: {path} cannot be read: {why}.") from error
