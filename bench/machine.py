"""What the figures depend on: the machine, its load, and the versions of everything that matters."""

import os
import platform
import sqlite3
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench.results import Machine

_PACKAGES = (
    "hopward", "hopward-authority", "hopward-mcp",
    "mcp", "fastmcp", "cedarpy", "cryptography", "msgspec", "sqlite-utils", "google-re2",
    "aiohttp", "httptools", "uvicorn", "uvloop", "starlette", "httpx2", "anyio", "pydantic",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Python, SQLite and the installed packages."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(work: Path, load_before: float) -> Machine:
    """This machine; `work` is where the logs under test are written."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_mib=memory // 1_048_576,
        filesystem=_filesystem(work),
        load_before=load_before,
        load_after=load(),
    )


def load() -> float:
    """The one-minute load average."""
    return round(os.getloadavg()[0], 2)


def commit(root: Path) -> str:
    """The commit under test, with `+changes` when the tree differs from it."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "packages", "plugins", "bench/*.py", "shared")
    return (head or "unknown") + ("+changes" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _filesystem(path: Path) -> str:
    """The type of the file system a path lies on: what a durable commit costs depends on it."""
    best = ("", "")
    for line in Path("/proc/mounts").read_text().splitlines() if sys.platform == "linux" else ():
        _, mount, kind, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
