"""What must never reach a client, were a server to repeat it: API keys, and the credentials of calls.

Against echoes, not against a server that wants to tell.
"""

import re
from collections.abc import Iterable

from hopward_mcp.jsonrpc import dump

_REMOVED = b"[credential removed by Hopward]"
_MOST_KEYS = 64


class Concealment:
    """Takes secrets out of the messages of one server.

    A credential is known by its header, which all that one key has signed have in common: so it is taken out
    wherever and whenever the server repeats it, in an answer, a notification or a later call.
    """

    def __init__(self, api_keys: Iterable[str]) -> None:
        spelled = {dump(key)[1:-1] for key in api_keys if key}
        self._api_keys = sorted(spelled, key=len, reverse=True)
        self._tokens: dict[bytes, re.Pattern[bytes]] = {}

    def learn(self, token: str) -> None:
        """A credential that goes to the server."""
        header = token.partition(".")[0].encode()
        if header and header not in self._tokens:
            while len(self._tokens) >= _MOST_KEYS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[header] = re.compile(re.escape(header) + rb"(?:\.[A-Za-z0-9_-]+){2}")

    def concealed(self, shown: bytes) -> bytes:
        """A message as it may be shown; the same object if it repeats no secret."""
        for key in self._api_keys:
            if key in shown:
                shown = shown.replace(key, _REMOVED)
        for header, token in self._tokens.items():
            if header in shown:
                shown = token.sub(_REMOVED, shown)
        return shown
