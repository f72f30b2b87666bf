"""Reading a form strictly: one content type, no query, a size limit, one reading of every byte."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request

MAX_BODY = 65_536
"""Largest body read, in bytes."""

SVID = "hopward_authority.svid"
"""Under this name of an ASGI scope stands the certificate that the peer has shown over mutual TLS, as DER."""

_MAX_FIELDS = 40
_CONTENT_TYPES = ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=utf-8")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REFUSED_HEADERS = {
    "authorization": ("invalid_client", "Clients authenticate with private_key_jwt only."),
    "content-encoding": ("invalid_request", "The body must not be compressed."),
}


@dataclass(slots=True)
class Form:
    """The parameters of one request, in order, and the address it came from.

    `client` is known once it has authenticated; `claimed` is who a client without a key says it is, which
    anybody may say. `until` is when that is over which a workload has authenticated with, in microseconds.
    `incident` is the reason code of a refusal that is no mere mistake. `proof` is its `DPoP` header, which
    only requests for a token may have. `svid` is the certificate its connection was made with, where that is
    mutual TLS.
    """

    endpoint: str
    pairs: list[tuple[str, str]]
    client: str = ""
    claimed: str = ""
    until: int | None = None
    peer: str = ""
    incident: str = ""
    proof: str | None = None
    svid: bytes = b""

    def first(self, name: str) -> str:
        """The first value of a parameter; empty where there is none."""
        return next((value for key, value in self.pairs if key == name), "")

    @property
    def speaker(self) -> str:
        """Who speaks, whether it has authenticated or has no key to do so."""
        return self.client or self.claimed


class FormError(Exception):
    """A request that is no form; `error` is the OAuth error code, `status` the HTTP status."""

    def __init__(self, status: int, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.error, self.sentence = status, error, sentence


async def read_form(request: Request, *, for_token: bool = False) -> Form:
    """The form in a request; raises `FormError`."""
    _check_headers(request)
    proofs = request.headers.getlist("dpop")
    if len(proofs) > 1:
        raise FormError(400, "invalid_dpop_proof", "The header DPoP may come only once.")
    if proofs and not for_token:
        raise FormError(400, "invalid_dpop_proof", "A proof goes with a request for a token, and no other.")
    body = await _body(request)
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormError(400, "invalid_request", "The form is not percent-encoded.") from error
    if _BAD_ESCAPE.search(text):
        raise FormError(400, "invalid_request", "The form has a broken percent escape.")
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise FormError(400, "invalid_request", "The body is not a proper form.") from error
    peer = request.client.host if request.client else ""
    shown = request.scope.get(SVID, b"")
    return Form(request.url.path, pairs, peer=peer, proof=proofs[0] if proofs else None, svid=shown)


def _check_headers(request: Request) -> None:
    for name, (error, sentence) in _REFUSED_HEADERS.items():
        if name in request.headers:
            raise FormError(401 if error == "invalid_client" else 400, error, sentence)
    types = request.headers.getlist("content-type")
    if len(types) != 1 or types[0].lower().replace(" ", "") not in _CONTENT_TYPES:
        raise FormError(415, "invalid_request", "The content type is not application/x-www-form-urlencoded.")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise FormError(413, "invalid_request", f"The body is larger than {MAX_BODY} bytes.")
    return bytes(body)
