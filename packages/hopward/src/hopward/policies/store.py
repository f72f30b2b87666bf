"""The policy engine in force, replaced whole when the files change and never by a set that does not load."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from hopward.cedar import CedarEngine
from hopward.clock import SECOND, Clock, SystemClock
from hopward.errors import ConfigError
from hopward.model import Tool
from hopward.policies.folder import Fingerprint, fingerprint, read_folder

_INTERVAL = SECOND // 4
"""How long `current` trusts its last look at the files, in microseconds."""


def load_engine(folder: Path, tools: Sequence[Tool], groups: Collection[str] = ()) -> CedarEngine:
    """An engine over the policy files of a folder. Raises `ConfigError` listing every mistake.

    `groups` are those that may approve: a policy may wait for no other.
    """
    return CedarEngine(read_folder(folder), tools, groups)


class PolicyStore:
    """Where the guard takes its engine from. Safe to share between threads.

    The first set must load: otherwise the constructor raises `ConfigError` and nothing starts. Later a bad
    set, also a missing folder, changes nothing: the old engine stays, and `rejected` says what is wrong with
    the new files until they change again. An engine never changes, so one set makes a decision under way.
    """

    def __init__(
        self,
        folder: Path,
        tools: Sequence[Tool],
        groups: Collection[str] = (),
        *,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._tools = tuple(tools)
        self._groups = frozenset(groups)
        self._clock = clock or SystemClock()
        self._seen: Fingerprint = fingerprint(folder)
        self._engine = load_engine(folder, self._tools, self._groups)
        if fingerprint(folder) != self._seen:
            raise ConfigError("The policies change while they are read.", advice="Start again.")
        self._looked_at = self._clock.now()
        self.rejected: ConfigError | None = None

    @property
    def engine(self) -> CedarEngine:
        """The engine in force, without a look at the files."""
        return self._engine

    def current(self) -> CedarEngine:
        """The engine to decide with now; looks at the files at most every quarter of a second."""
        now = self._clock.now()
        # A clock set back must not put the next look off.
        if not 0 <= now - self._looked_at < _INTERVAL:
            self._looked_at = now
            self.refresh()
        return self._engine

    def refresh(self) -> Literal["unchanged", "loaded", "rejected"]:
        """Look at the files now; if they changed, put them all in force together, or none of them.

        Files that change while they are read are left for the next look: half of a change could permit more
        than the old set and the new one do.
        """
        found = fingerprint(self._folder)
        if found == self._seen:
            return "unchanged"
        engine, rejected = None, None
        try:
            engine = load_engine(self._folder, self._tools, self._groups)
        except ConfigError as error:
            rejected = error
        if fingerprint(self._folder) != found:
            return "unchanged"
        self._engine, self.rejected, self._seen = engine or self._engine, rejected, found
        return "rejected" if rejected else "loaded"
