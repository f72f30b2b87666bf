"""The grants by which a client gets the tokens of a login: with its code, and with its refresh token.

A client without a key of its own says only who it is (RFC 6749 section 2.1, a public client). What it
presents was made for it, and the code besides for whoever has the verifier (RFC 7636).
"""

from typing import Any

from hopward_authority.metadata import AUTHORIZATION_CODE, REFRESH_TOKEN
from hopward_authority.oauth import PUBLIC_METHODS, Grant


class _LoginGrant(Grant):
    TOKEN_ENDPOINT_AUTH_METHODS = PUBLIC_METHODS

    def parameter(self, name: str) -> str:
        """A parameter of the form, empty if it was not sent. Unknown ones are ignored (RFC 6749)."""
        return dict(self.form.pairs).get(name, "")


class CodeGrant(_LoginGrant):
    """The authorization code (RFC 6749 section 4.1.3), which opens the task of the login."""

    GRANT_TYPE = AUTHORIZATION_CODE

    def answer(self) -> dict[str, Any]:
        """The first access token and refresh token."""
        issued = self.guard.logins.redeem(
            self.parameter("code"),
            self.form.speaker,
            redirect_uri=self.parameter("redirect_uri"),
            resource=self.parameter("resource"),
            verifier=self.parameter("code_verifier"),
            bound=self.bound,
        )
        return issued.answer()


class RefreshGrant(_LoginGrant):
    """The refresh token (RFC 6749 section 6), which counts once (RFC 9700 section 4.14.2)."""

    GRANT_TYPE = REFRESH_TOKEN

    def answer(self) -> dict[str, Any]:
        """The next access token and refresh token."""
        issued = self.guard.logins.refresh(
            self.parameter("refresh_token"),
            self.form.speaker,
            self.parameter("resource"),
            self.parameter("scope"),
            self.bound,
        )
        return issued.answer()
