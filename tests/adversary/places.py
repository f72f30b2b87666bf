"""URLs and paths that one reader takes for another place than the other."""

from .project import Instead
from .scenario import Group, Scenario
from .steps import Call

FETCHED = 'destination = "host:{url}"'
HOSTS = '"host:*.papyrus.example", "host:partner.example"'
ANYWHERE = (
    Instead(FETCHED, 'destination = "web"'),
    Instead(f"destinations = [{HOSTS}]", 'destinations = ["web"]'),
)
TRUSTED = Instead('integrity = "untrusted"', 'integrity = "trusted"', after="[servers.web.tools.fetch]")
"""So that what was fetched before does not stop what comes next: here it is about the place alone."""
UNDER = ', constraints = { path = [{ kind = "path_under", root = "/shared" }] }'


def fetches(reason: str, *urls: str) -> tuple[Call, ...]:
    """A read of each URL."""
    return tuple(Call("web/fetch", reason, url=url) for url in urls)


def saves(reason: str, *paths: str) -> tuple[Call, ...]:
    """A note saved at each path."""
    return tuple(Call("docs/save", reason, path=path, text="minutes") for path in paths)


PLAIN = fetches(
    "",
    "https://www.papyrus.example/a/b?size=A4&x=%20y#top",
    "HTTPS://WWW.Papyrus.Example/",
    "https://shop.eu.papyrus.example:443/",
    "https://partner.example",
)

PLACES = Group(
    "URLs and paths",
    "A place is written so that whoever checks it sees another one than whoever goes there.",
    (
        Scenario(
            "hides the host behind user information, encodings, other scripts",
            steps=fetches(
                "destination_unclear",
                "https://www.papyrus.example@evil.example/",
                "https://www.papyrus.example:443@evil.example/",
                "https://evil.example\\@www.papyrus.example/",
                "https://evil.example\\.papyrus.example/",
                "https://evil%2eexample/",
                "https://www.p\u0430pyrus.example/",
                "https://www\u3002papyrus\u3002example/",
                "https://www.papyrus.example./",
                "https://www.papyrus.example\u200b.evil.example/",
                "https://www.papyrus.example\r\nHost: evil.example/",
                "https:/evil.example/",
                "https:evil.example",
                "//evil.example/",
                "javascript:fetch('https://evil.example')",
                "file:///etc/passwd",
            ),
            twin=PLAIN,
            benign="reads plain URLs at hosts that are allowed, however they are capitalized",
            stopped_by='`destination = "host:{url}"`: what could be read as two hosts leads nowhere',
            project=(TRUSTED,),
            without=ANYWHERE,
        ),
        Scenario(
            "goes to a host that only begins, ends or looks like one that is allowed",
            steps=fetches(
                "outside_task",
                "https://papyrus.example.evil.example/",
                "https://evilpapyrus.example/",
                "https://evil.example/www.papyrus.example/",
                "https://evil.example?https://www.papyrus.example/",
                "https://evil.example#.papyrus.example/",
                "https://xn--pyrus-4ve9a.example/",
                "https://www.papyrus.example:8443/",
            ),
            twin=PLAIN,
            benign="reads plain URLs at hosts that are allowed",
            stopped_by="`destinations` of the capability, compared host by host",
            project=(TRUSTED,),
            without=ANYWHERE,
        ),
        Scenario(
            "reaches into the local network",
            steps=(
                *fetches(
                    "destination_unclear",
                    "http://2130706433/",
                    "http://0x7f000001/",
                    "http://0177.0.0.1/",
                    "http://127.1/",
                    "http://[::1]/",
                    "http://[::ffff:169.254.169.254]/",
                    "http://[::ffff:a9fe:a9fe]/",
                ),
                *fetches(
                    "outside_task",
                    "http://127.0.0.1:8700/",
                    "http://169.254.169.254/latest/meta-data/",
                    "http://10.0.0.1/",
                    "http://localhost/",
                    "http://printer.local/",
                    "http://metadata.google.internal/",
                ),
            ),
            twin=PLAIN,
            benign="reads public hosts, for a task that may read any",
            stopped_by='a host that is no public one is `private:`, which `"*"` does not cover',
            project=(
                TRUSTED,
                Instead(f"destinations = [{HOSTS}]", 'destinations = ["*"]'),
                Instead("destinations = 6", "destinations = 20"),
            ),
            without=(Instead(FETCHED, 'destination = "web"'),),
        ),
        Scenario(
            "saves outside of the folder",
            steps=saves(
                "outside_task",
                "/shared/../etc/cron.d/x",
                "/shared/%2e%2e/etc/passwd",
                "/shared/..\\etc",
                "/shared/./../etc",
                "/sharedx/minutes.md",
                "shared/minutes.md",
                "/etc/passwd",
                "/shared//etc",
                "/shared/a\u0000.md",
                "~/.ssh/authorized_keys",
            ),
            twin=saves(
                "", "/shared/a.md", "/shared/minutes/2026 May.md", "/shared/.draft..md", "/shared/\u00fc.md"
            ),
            benign="saves below it, under names that are merely odd",
            stopped_by="the constraint `path_under`",
            without=(Instead(UNDER, ""),),
        ),
    ),
)
