"""How pages look, and what they let a browser do: no scripts, no frames, nothing from anywhere else."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

_STYLE = files("hopward_authority").joinpath("templates/style.css").read_text("utf-8").strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: a browser would then send `Origin: null` with our own forms (Fetch, "append a request
    # Origin header"), and the check of the origin would have to let everybody's null pass.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""With every page. Addresses hold no secrets, so that a page of ours may be told of another one of ours."""


class Pages:
    """Renders templates below a base path. Whatever is filled in is escaped."""

    def __init__(self, base: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("hopward_authority"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._environment.filters["instant"] = _instant
        # Written by us, and hashed as it is: quotes in it must not be escaped.
        self._always = {"base": base, "style": Markup(_STYLE), "person": None, "forget": ""}  # noqa: S704

    def page(self, name: str, status: int = 200, **filled: Any) -> HTMLResponse:
        """A page, which nobody stores and nobody frames."""
        text = self._environment.get_template(name).render(self._always | filled)
        return HTMLResponse(text, status, HEADERS)

    def told(self, status: int, heading: str, *lines: str, **filled: Any) -> HTMLResponse:
        """A page that says something."""
        return self.page("told.html", status, heading=heading, lines=lines, **filled)


def _instant(text: str) -> str:
    """An instant of the guard (RFC 3339, UTC) for people, to the second."""
    return f"{text[:19].replace('T', ' ')} UTC"
