"""What client files were before they were wrapped, below the state folder: bytes, digests, entries.

    STATE/wrapped/KEY.json              what was done: digests, and each entry before and after
    STATE/wrapped/KEY.DIGEST.original   the file as it was, byte for byte

KEY stands for the file. The record is replaced in one step, after the bytes it speaks of are there.
"""

import hashlib
from pathlib import Path

import msgspec

from hopward import ConfigError
from hopward_mcp.replacing import write_private

_FOLDER = "wrapped"


class WrappedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of a client file before and after, and the server in hopward.toml that it starts now."""

    server: str
    original: str
    wrapped: str


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wrapped file: which it is, the digests of its bytes before and after, and the entries changed."""

    client: str
    original_digest: str
    wrapped_digest: str
    entries: dict[str, WrappedEntry]


def digest_of(data: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return "sha-256:" + hashlib.sha256(data).hexdigest()


class Backups:
    """The backups of one installation; `state` is its state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / _FOLDER

    def find(self, client: Path) -> Backup | None:
        """The backup of a file, None where it is not wrapped; raises `ConfigError` if it is damaged."""
        record = self._record(client)
        try:
            return msgspec.json.decode(record.read_bytes(), type=Backup)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ConfigError(f"{record} is damaged: {error}.") from error

    def original(self, client: Path, backup: Backup) -> bytes:
        """The bytes as they were; raises `ConfigError` unless they are exactly those."""
        path = self.original_path(client, backup.original_digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"The backup {path} cannot be read: {error.strerror}.") from error
        if digest_of(data) != backup.original_digest:
            raise ConfigError(f"The backup {path} was changed: its digest is another one.")
        return data

    def keep(self, client: Path, backup: Backup, original: bytes) -> None:
        """Keep the bytes, then the record; those of an earlier one go. Raises `OSError`."""
        if not self._state.is_dir():
            raise ConfigError(f"There is no {self._state}.", advice="Run `hopward init` first.")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self.original_path(client, backup.original_digest), original)
        write_private(self._record(client), msgspec.json.format(msgspec.json.encode(backup)))
        self._tidy(client, backup.original_digest)

    def forget(self, client: Path) -> None:
        """Remove the backup of a file: the record first."""
        self._record(client).unlink(missing_ok=True)
        self._tidy(client, "")

    def original_path(self, client: Path, digest: str) -> Path:
        """Where the bytes of a file are kept."""
        return self._folder / f"{_key(client)}.{digest.rpartition(':')[2][:16]}.original"

    def _record(self, client: Path) -> Path:
        return self._folder / f"{_key(client)}.json"

    def _tidy(self, client: Path, kept: str) -> None:
        kept_path = self.original_path(client, kept) if kept else None
        for path in self._folder.glob(f"{_key(client)}.*.original"):
            if path != kept_path:
                path.unlink(missing_ok=True)


def _key(client: Path) -> str:
    """Stands for a file, by whichever link it is named."""
    return hashlib.sha256(str(client.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
