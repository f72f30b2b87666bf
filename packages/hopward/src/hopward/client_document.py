"""A client that is known by a document at the URL that is its id (OAuth Client ID Metadata Document).

draft-ietf-oauth-client-id-metadata-document, which MCP authorization (2026-07-28) asks for. The network is
left out: this says which URLs are ids, and reads what stands there. Whoever controls the URL controls the
client; its name is what it calls itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from hopward.errors import ExchangeRefusedError
from hopward.harmless import harmless
from hopward.login import LoginClient
from hopward.redirection import wrong_redirect
from hopward.strictjson import parse

LONGEST_URL = 500
"""Characters."""

MOST_ADDRESSES = 20
"""Redirect URIs of one client."""

LONGEST_NAME = 60
"""Characters of what a client is called where people see it; longer names are cut."""

_URL = re.compile(r"https://((?:[a-z0-9-]+\.)*[a-z0-9-]+)(?::[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]+)")


def host_of(client_id: str, hosts: Iterable[str]) -> str:
    """The host where a client's document is, one of `hosts` (`*` is any).

    Raises `ExchangeRefusedError` for what is no such id (section 3): https in lower case, with a path,
    without query, fragment, user and dot segments.
    """
    found = _URL.fullmatch(client_id) if len(client_id) <= LONGEST_URL else None
    if found is None or {".", ".."}.intersection(found[2].split("/")) or "%2e" in client_id.lower():
        raise _refused("The client_id is no URL of a client's document.")
    if "*" not in (allowed := tuple(hosts)) and found[1] not in allowed:
        raise _refused(f"Clients whose document is at {found[1]} are not let in here.")
    return found[1]


def read_document(client_id: str, body: bytes) -> LoginClient:
    """The client of a document (sections 4 and 6); raises `ExchangeRefusedError`.

    It is a public client: a document that wants a secret is refused, and so is one that names keys, which
    would have to be got from elsewhere.
    """
    try:
        content: object = parse(body)
    except ValueError as error:
        raise _refused("The client's document is no JSON.") from error
    if not isinstance(content, dict):
        raise _refused("The client's document is no JSON object.")
    document = cast("Mapping[str, Any]", content)
    if document.get("client_id") != client_id:
        raise _refused("The client's document is that of another client_id.")
    if document.get("token_endpoint_auth_method", "none") != "none" or "client_secret" in document:
        raise _refused("The client's document wants another authentication than none.")
    grants = document.get("grant_types", ["authorization_code"])
    if not isinstance(grants, list) or "authorization_code" not in grants:
        raise _refused("The client's document does without the authorization code.")
    return LoginClient(
        id=client_id, name=_name(document, client_id), redirect_uris=_addresses(document), source="document"
    )


def _addresses(document: Mapping[str, Any]) -> tuple[str, ...]:
    value: object = document.get("redirect_uris")
    found = cast("list[object]", value) if isinstance(value, list) else []
    if not 0 < len(found) <= MOST_ADDRESSES:
        raise _refused(f"The client's document has no redirect_uris, or more than {MOST_ADDRESSES}.")
    for address in found:
        if not isinstance(address, str) or wrong_redirect(address):
            raise _refused("The client's document has a redirect_uri that nobody is sent to.")
    return tuple(cast("list[str]", found))


def _name(document: Mapping[str, Any], client_id: str) -> str:
    """What the client calls itself, harmless to show; the host where it says nothing."""
    value: object = document.get("client_name")
    name = harmless(value).strip()[:LONGEST_NAME] if isinstance(value, str) else ""
    return name or urlsplit(client_id).netloc


def _refused(sentence: str) -> ExchangeRefusedError:
    return ExchangeRefusedError(sentence, error="invalid_client")
