"""How a server checks a Hopward credential by itself: plain PyJWT and the authority's public keys.

A credential is a JWT access token (RFC 9068) minted for one call. This module shows everything a resource
server has to check, without any Hopward code, so that it can be done in any language:

1. the signature: ES256, with the key of that `kid` from the authority's JWKS (RFC 7517);
2. `typ` is `at+jwt`; `iss` is the authority; `exp` has not passed and lies at most 60 s after `iat`;
3. `aud` is this server's own resource indicator (RFC 8707) and nothing else;
4. `scope` is `SERVER/NAME`: a tool's name, `resource:URI` for resources/read, `prompt:NAME` for prompts/get,
   with every character outside the scope-token set of RFC 6749 section 3.3, and `%`, percent-encoded;
5. `authorization_details[0].arguments_digest` is the digest of the arguments that arrived: `sha-256:` and the
   hexadecimal SHA-256 of their canonical JSON (RFC 8785, JCS); of the empty object where a call has none;
6. `jti` has not been used here before.
"""

import hashlib
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from urllib.parse import quote

import jwt
import rfc8785

MAX_LIFETIME = 60
LEEWAY = 5
SCOPE_SAFE = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""Punctuation that stands unencoded in a scope: NQCHAR of RFC 6749 without `%`, so that decoding is exact."""


class RefusedError(Exception):
    """The credential does not open this call. `status` and `error` follow RFC 6750 section 3.1."""

    def __init__(
        self, error: Literal["invalid_request", "invalid_token", "insufficient_scope"], why: str
    ) -> None:
        super().__init__(why)
        self.error = error
        self.why = why
        self.status = {"invalid_request": 400, "invalid_token": 401, "insufficient_scope": 403}[error]


@dataclass(frozen=True, slots=True)
class GuardedCall:
    """A request that needs a credential: the name in its scope, and the arguments it must be bound to."""

    method: str
    name: str
    arguments: dict[str, Any]


def members(value: object) -> Mapping[str, object]:
    """The members of a JSON object; none for any other value."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def guarded_call(method: object, params: object) -> GuardedCall | None:
    """The call that a JSON-RPC request makes, or None for a method anyone may use, such as tools/list.

    Raises `RefusedError` for a request too malformed to say what it calls.
    """
    if method not in ("tools/call", "resources/read", "prompts/get"):
        return None
    fields = members(params)
    name = fields.get("uri" if method == "resources/read" else "name")
    arguments = fields.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict | None):
        raise RefusedError(
            "invalid_request", "the name or the arguments of the call are missing or of the wrong type"
        )
    if method == "resources/read":
        return GuardedCall(method, f"resource:{name}", {})
    prefix = "prompt:" if method == "prompts/get" else ""
    return GuardedCall(str(method), prefix + name, cast("dict[str, Any]", arguments or {}))


def arguments_digest(arguments: dict[str, Any]) -> str:
    """The digest a credential is bound to. Raises `ValueError` for what canonical JSON cannot carry."""
    return "sha-256:" + hashlib.sha256(rfc8785.dumps(arguments)).hexdigest()


class Keys(Protocol):
    """Where the authority's public keys come from."""

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of that id, or None."""
        ...


class KeysFromFile:
    """A JWKS file, read again when it changes: an embedded authority rotates its keys by rewriting it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = 0
        self._keys: dict[str, jwt.PyJWK] = {}

    def find(self, kid: str) -> jwt.PyJWK | None:
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            keys = jwt.PyJWKSet.from_json(self._path.read_text()).keys
            self._keys = {key.key_id: key for key in keys if key.key_id}
            self._stamp = stamp
        return self._keys.get(kid)


class KeysFromUrl:
    """The authority's `jwks_uri`, cached by PyJWT."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cooldown_duration=1)

    def find(self, kid: str) -> jwt.PyJWK | None:
        try:
            return self._client.get_signing_key(kid)
        except jwt.PyJWKClientConnectionError as error:
            raise RefusedError("invalid_token", "the authority's keys cannot be fetched") from error
        except jwt.PyJWKClientError:
            return None


class SpentTokens:
    """Every `jti` accepted so far, in a file, so that a restart does not make a used credential new again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "spent.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS spent (jti TEXT PRIMARY KEY, expires_at INTEGER) WITHOUT ROWID"
        )
        self._db.execute("DELETE FROM spent WHERE expires_at < ?", (time.time() - LEEWAY,))

    def spend(self, jti: str, expires_at: int) -> bool:
        """True the first time, False ever after."""
        cursor = self._db.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", (jti, expires_at))
        return cursor.rowcount == 1

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Door:
    """Admits exactly the calls that carry a credential minted for them."""

    def __init__(self, *, name: str, resource: str, issuer: str, keys: Keys, spent: SpentTokens) -> None:
        self.name = name
        self.resource = resource
        self.issuer = issuer
        self._keys = keys
        self._spent = spent

    def scope(self, call: GuardedCall) -> str:
        """The one scope that opens a call."""
        return quote(f"{self.name}/{call.name}", safe=SCOPE_SAFE)

    def admit(self, call: GuardedCall, token: object) -> dict[str, Any]:
        """The claims of the credential that opens `call`. Raises `RefusedError`."""
        claims = self._claims(token)
        if claims["scope"] != self.scope(call):
            raise RefusedError("insufficient_scope", "the credential was minted for another tool")
        if not self._binds(claims, call):
            raise RefusedError("insufficient_scope", "the credential was minted for other arguments")
        if not self._spent.spend(claims["jti"], claims["exp"]):
            raise RefusedError("invalid_token", "the credential has already been used")
        return claims

    def _claims(self, token: object) -> dict[str, Any]:
        if not isinstance(token, str) or not token:
            raise RefusedError("invalid_token", "a credential minted for this call is required")
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.find(str(header.get("kid")))
            if header.get("typ") not in ("at+jwt", "application/at+jwt") or key is None:
                raise RefusedError("invalid_token", "not an access token of this server's authority")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=self.resource,
                issuer=self.issuer,
                leeway=LEEWAY,
                options={
                    "strict_aud": True,
                    "require": ["iss", "sub", "aud", "exp", "iat", "jti", "scope"],
                },
            )
        except jwt.PyJWTError as error:
            raise RefusedError("invalid_token", f"the credential is not valid here: {error}") from error
        if claims["exp"] - claims["iat"] > MAX_LIFETIME or not isinstance(claims["jti"], str):
            raise RefusedError("invalid_token", "the credential lives too long for one call")
        return claims

    @staticmethod
    def _binds(claims: dict[str, Any], call: GuardedCall) -> bool:
        details = claims.get("authorization_details")
        if not isinstance(details, list) or len(cast("list[object]", details)) != 1:
            return False
        try:
            expected = arguments_digest(call.arguments)
        except ValueError:
            return False
        return members(cast("list[object]", details)[0]).get("arguments_digest") == expected
