"""Who else could change a file that decides what is permitted: `hopward.toml`, a policy, their folders.

A program that may write them permits itself whatever it wants, so what everyone may change is not read.
"""

import os
import stat
from pathlib import Path

from hopward.errors import ConfigError


def check_unexposed(path: Path) -> None:
    """Raise `ConfigError` where everyone may change a file or folder, or put another one in a file's place.

    Not by way of a sticky folder, where only its owner can replace a file, nor on a mount that is read-only.
    A path that is not there is nobody's.
    """
    real = path.resolve()
    for place in (real, path.parent, real.parent) if real.is_file() else (real,):
        try:
            mode = place.stat().st_mode
            read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
        except OSError:
            continue
        sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
        if mode & stat.S_IWOTH and not (sticky or read_only):
            raise ConfigError(
                f"{place} can be changed by everyone, and with it what is permitted.",
                advice=f"chmod go-w {place}",
            )
