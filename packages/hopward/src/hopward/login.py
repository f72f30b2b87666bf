"""A login: what a person has let one OAuth client do. The values that are stored of it."""

from typing import Any

from hopward.clock import Instant
from hopward.model import Value


class LoginClient(Value, frozen=True):
    """A program that people log in with (RFC 6749 section 2), as whoever registered it says.

    `name` is what it calls itself. `redirect_uris` are where it may have people sent back to. With `keys`,
    public JWKs, it authenticates with one of them (`private_key_jwt`); without it is a public client.
    `source` says how it is known: "configured" in `hopward.toml`, by its "document" at the URL that is its
    id, or "registered" by itself (RFC 7591).
    """

    id: str
    name: str
    redirect_uris: tuple[str, ...]
    keys: tuple[dict[str, Any], ...] = ()
    source: str = "configured"


class Login(Value, frozen=True):
    """What `person` has let `client` do at one endpoint of the proxy, from the authorization code on.

    `secret` is a digest: of the code until it is redeemed, of the refresh token that counts from then on.
    `expires_at` is until when that counts. `challenge` is the PKCE challenge (RFC 7636), `resource` the
    endpoint's resource indicator. `task` is opened when the code is redeemed, `device` is the browser in
    which the person said yes. `bound` names the key that the client has proved to hold when it redeemed the
    code, as in `Chain`: its refresh tokens count with that alone.
    """

    id: str
    client: str
    person: str
    device: str
    server: str
    workflow: str
    resource: str
    scope: tuple[str, ...]
    redirect_uri: str
    challenge: str
    secret: str
    granted_at: Instant
    expires_at: Instant
    task: str = ""
    redeemed_at: Instant = 0
    used_at: Instant = 0
    ended_at: Instant = 0
    bound: str = ""
