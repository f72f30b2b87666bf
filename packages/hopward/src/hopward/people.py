"""How people log in who approve, and who let clients act for them: the settings of `[people]`."""

from typing import Literal

from hopward.model import Value


class PeopleSettings(Value, frozen=True):
    """`[people]`: the OpenID provider at which people log in. Without the table they pair their browsers.

    `authentication` is how we do at its token endpoint: by `private_key_jwt`, with the key that the authority
    publishes, or by the client secret in the environment variable `secret_environment`. `algorithm` is the
    one it signs ID tokens with. People are called `ISSUER#SUB`, or with `name = "email"` by the e-mail
    address that the provider has verified. A login lasts `session_seconds`, and every `check_seconds` the
    provider is asked whether it still stands. `scopes` are asked for besides what that needs.
    """

    issuer: str
    client_id: str
    authentication: Literal["private_key_jwt", "client_secret_basic"]
    secret_environment: str = ""
    algorithm: Literal["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"] = "RS256"
    name: Literal["sub", "email"] = "sub"
    scopes: tuple[str, ...] = ()
    session_seconds: int = 28_800
    check_seconds: int = 60
