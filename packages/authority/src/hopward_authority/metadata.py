"""The authority's metadata document (RFC 8414)."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from hopward import ConfigError
from hopward_authority.hosts import is_loopback

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, no secret
CLIENT_CREDENTIALS = "client_credentials"
AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a name, no secret

_ALGORITHMS = ("ES256", "EdDSA")
"""Of the keys that agents and servers have here."""


def metadata(
    issuer: str,
    algorithms: Iterable[str] = (),
    *,
    svids: bool = False,
    authorize: str = "",
    documents: bool = False,
    mtls_url: str = "",
) -> dict[str, Any]:
    """The document; raises `ConfigError` unless the issuer is https://, or http:// on loopback.

    `algorithms` are those of workload tokens, `svids` whether JWT-SVIDs are among these
    (draft-ietf-oauth-spiffe-client-auth-02), `authorize` the authorization endpoint, where people log in,
    `documents` whether clients may be known by theirs.
    `mtls_url` is where clients are known by certificates (RFC 8705 section 5).
    """
    methods = {"private_key_jwt": True, "spiffe_jwt": svids, "spiffe_x509": bool(mtls_url)}
    authentication = {
        "auth_methods_supported": [name for name, used in methods.items() if used],
        "auth_signing_alg_values_supported": sorted({*_ALGORITHMS, *algorithms}),
    }
    parts = urlsplit(issuer)
    plain_http = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not plain_http and (parts.scheme != "https" or not parts.hostname):
        raise ConfigError(f"authority.issuer {issuer!r} must begin with https:// (http:// on loopback only).")
    base = issuer.rstrip("/")
    document: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{base}/token",
        "jwks_uri": f"{base}/jwks",
        "revocation_endpoint": f"{base}/revoke",
        "introspection_endpoint": f"{base}/introspect",
        # Required, and never empty (RFC 8414 section 2 and 3.2); there is no authorization endpoint to ask.
        "response_types_supported": ["none"],
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
        "authorization_details_types_supported": ["hopward_tool_call", "hopward_delegation"],
        **{
            f"{endpoint}_endpoint_{name}": values
            for endpoint in ("token", "revocation", "introspection")
            for name, values in authentication.items()
        },
        **(_login(authorize, authentication["auth_methods_supported"], documents) if authorize else {}),
        **(_aliases(issuer, mtls_url) if mtls_url else {}),
    }
    try:
        AuthorizationServerMetadata(document).validate()
    except ValueError as error:
        raise ConfigError(f"authority.issuer {issuer!r} cannot be published: {error}") from error
    return document


def _aliases(issuer: str, mtls_url: str) -> dict[str, Any]:
    """Where the same is served over mutual TLS."""
    below = mtls_url.rstrip("/") + urlsplit(issuer).path.rstrip("/")
    endpoints = {"token_endpoint": f"{below}/token", "revocation_endpoint": f"{below}/revoke"}
    return {"mtls_endpoint_aliases": endpoints}


def _login(authorize: str, methods: list[str], documents: bool) -> dict[str, Any]:
    """What is served to clients that people log in with (RFC 6749, RFC 7636, RFC 9207)."""
    methods = ["none", *methods]
    return {
        "authorization_endpoint": authorize,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": documents,
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    }


def metadata_path(issuer: str) -> str:
    """Where the document stands: the well-known path, before the issuer's own (RFC 8414 section 3.1)."""
    return well_known("oauth-authorization-server", issuer)


def well_known(name: str, issuer: str) -> str:
    """The well-known path of a document of an issuer: before the issuer's own (RFC 8615)."""
    return f"/.well-known/{name}{urlsplit(issuer).path.rstrip('/')}"
