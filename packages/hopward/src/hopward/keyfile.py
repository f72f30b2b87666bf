"""Key files on disk: who may read and change them, how they are read, and how they are put in place."""

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from hopward.errors import ConfigError, HopwardError
from hopward.jwk import SigningKey, VerificationKey
from hopward.strictjson import parse

INIT = "hopward init makes the keys."

Stamp: TypeAlias = tuple[int, int, int]
"""Changes whenever a file is replaced."""

_LARGEST_FILE = 1_048_576
_PRIVATE = 0o077
_CHANGEABLE = 0o022


def check_folder(folder: Path, *, own: bool = True, private: bool = True) -> None:
    """Raise `ConfigError` unless this is a folder of this user's (or root's) that nobody else can enter.

    Where it need not be one's `own`, it may be any user's; where it need not be `private`, others may enter
    it. Nobody but its owner may ever change it.
    """
    try:
        found = os.stat(folder, follow_symlinks=False)
    except OSError as error:
        raise ConfigError(f"There is no key folder {folder}.", advice=INIT) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder.", advice=INIT)
    _check_access(folder, found, own=own, private=private)


def read(path: Path, *, public: bool = False) -> tuple[bytes, Stamp]:
    """Content and stamp of a key file; raises `ConfigError` if it is not there or not kept as it must be.

    A `public` file may be any user's, and readable by anyone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError as error:
        advice = "Run this as the user it belongs to."
        raise ConfigError(f"This user may not read the key in {path}.", advice=advice) from error
    except OSError as error:
        raise ConfigError(f"There is no key in {path}: {error.strerror}.", advice=INIT) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is not a file.", advice=INIT)
        _check_access(path, found, own=not public, private=not public)
        return os.read(descriptor, _LARGEST_FILE), _stamp(found)
    finally:
        os.close(descriptor)


def stamp(path: Path) -> Stamp:
    """The stamp of a file as it is now; raises `ConfigError` if it is gone."""
    try:
        return _stamp(os.stat(path, follow_symlinks=False))
    except OSError as error:
        raise ConfigError(f"The keys in {path} are gone.", advice=INIT) from error


def signing_key(path: Path) -> SigningKey:
    """The private key in a file of this user; raises `ConfigError`."""
    data, _ = read(path)
    try:
        return SigningKey.from_jwk(parse(data))
    except (ValueError, AttributeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold a private key.", advice=INIT) from error


def verification_key(path: Path) -> VerificationKey:
    """The public key in a file that only its owner can change; raises `ConfigError`."""
    data, _ = read(path, public=True)
    try:
        return VerificationKey.from_jwk(parse(data))
    except (ValueError, AttributeError, TypeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold a public key.", advice=INIT) from error


def write(path: Path, document: Mapping[str, Any], *, new: bool = False, mode: int = 0o600) -> None:
    """Put a file in place whole, durable and of this mode; with `new`, never over an existing one.

    Raises `ConfigError` if there is a file already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    except FileExistsError as error:
        raise ConfigError(
            f"There is a key in {path} already.", advice="Move it away to make a new one."
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync_folder(path.parent)


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """No other process that says the same changes the keys in a folder meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_access(path: Path, found: os.stat_result, *, own: bool, private: bool) -> None:
    if own and found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to another user.", advice="Run this as that user, or chown it.")
    mode = stat.S_IMODE(found.st_mode)
    if private and mode & _PRIVATE:
        raise ConfigError(f"{path} can be read or changed by others.", advice=f"chmod go= {path}")
    if mode & _CHANGEABLE:
        raise ConfigError(f"{path} can be changed by others.", advice=f"chmod go-w {path}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(found: os.stat_result) -> Stamp:
    return (found.st_mtime_ns, found.st_ino, found.st_size)
