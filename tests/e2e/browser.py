"""A person's browser, as far as pages without scripts need one: cookies, redirects and forms."""

from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from .running import PATIENCE

_MOST_REDIRECTS = 20


class Form(HTMLParser):
    """The first form of a page that has a field of a name, or the first at all."""

    def __init__(self, page: str, field: str = "") -> None:
        super().__init__()
        self.action, self.method = "", "get"
        self.fields: dict[str, str] = {}
        self._wanted, self._forms = field, list[tuple[str, str, dict[str, str]]]()
        self.feed(page)
        for action, method, fields in self._forms:
            if not field or field in fields:
                self.action, self.method, self.fields = action, method, fields
                break
        else:
            raise AssertionError(f"no form with {field!r}: {page}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._forms.append((found.get("action", ""), found.get("method", "get").lower(), {}))
        elif tag in ("input", "button") and self._forms and found.get("name"):
            self._forms[-1][2].setdefault(found["name"], found.get("value", ""))


class Links(HTMLParser):
    """The addresses that the links of a page lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


class Browser:
    """One person's browser; `page` is what it shows. Redirects to `stop` are not followed."""

    def __init__(self, stop: str = "") -> None:
        # Browsers send Secure cookies to loopback over http, too.
        jar = CookieJar(DefaultCookiePolicy(secure_protocols=("https", "http")))
        self.http = httpx2.Client(timeout=PATIENCE, trust_env=False, cookies=jar)
        self.stop = stop
        self.page: httpx2.Response

    @property
    def location(self) -> str:
        """Where the redirect leads that has not been followed."""
        return str(self.page.url.join(self.page.headers["location"]))

    def open(self, url: str, **parameters: str) -> httpx2.Response:
        """Go to an address and where it leads."""
        return self._follow(self.http.get(url, params=parameters or None))

    def follow(self, begin: str) -> httpx2.Response:
        """Follow the first link of the page whose address begins so."""
        links = Links(self.page.text).found
        (address, *_) = [one for one in links if one.startswith(begin)] or [""]
        assert address, f"no link to {begin}: {links}"
        return self._follow(self.http.get(self.page.url.join(address)))

    def submit(self, field: str = "", /, **filled: str) -> httpx2.Response:
        """Fill in the form that has this field, and send it as a browser does."""
        form, at = Form(self.page.text, field), self.page.url
        address = urljoin(str(at), form.action)
        headers = {"Origin": f"{at.scheme}://{at.netloc.decode()}", "Sec-Fetch-Site": _site(str(at), address)}
        sent: dict[str, Any] = form.fields | filled
        if form.method == "get":
            return self._follow(self.http.get(address, params=sent, headers=headers))
        return self._follow(self.http.post(address, data=sent, headers=headers))

    def close(self) -> None:
        self.http.close()

    def _follow(self, page: httpx2.Response) -> httpx2.Response:
        self.page = page
        for _ in range(_MOST_REDIRECTS):
            if not self.page.has_redirect_location or (self.stop and self.location.startswith(self.stop)):
                return self.page
            self.page = self.http.get(self.location)
        raise AssertionError(f"redirected without end: {self.location}")


def _site(page: str, address: str) -> str:
    same = urlsplit(page)[:2] == urlsplit(address)[:2]
    return "same-origin" if same else "cross-site"
