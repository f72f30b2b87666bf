"""Files replaced in one step: a reader sees the old one or the new one, and a failure leaves the old one."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Replace what a path leads to, through symbolic links, and keep its permissions and owner.

    Raises `OSError`.
    """
    target = path.resolve(strict=True)
    _written(target, data, target.stat())


def write_private(path: Path, data: bytes) -> None:
    """Write or replace a file that only its owner can read; raises `OSError`."""
    _written(path, data, None)


def _written(target: Path, data: bytes, like: os.stat_result | None) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if like is not None:
                # Another owner's file can only be given back to them by root.
                with suppress(PermissionError):
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
                os.fchmod(file.fileno(), like.st_mode & 0o7777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
