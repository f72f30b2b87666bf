"""Which keys a process has: all of them, the published ones, or the authority's, as the settings say."""

from urllib.parse import urlsplit

from hopward.clock import Clock
from hopward.errors import ConfigError
from hopward.keys import KeyRing
from hopward.published import PublishedKeys
from hopward.settings import AuthoritySettings, Settings


def open_keys(settings: Settings, clock: Clock, *, as_authority: bool) -> KeyRing | PublishedKeys:
    """The keys of this process; raises `ConfigError` unless they are all there."""
    authority, folder = settings.authority, settings.keys_folder
    if authority.mode == "embedded":
        ring = KeyRing.open(folder, clock=clock)
    elif not as_authority:
        return PublishedKeys(folder, clock)
    elif not _served_here(authority):
        raise ConfigError(
            f"authority.mode is remote: the authority is elsewhere, at {authority.token_endpoint}.",
            advice=f'To have it here, set token_endpoint = "{authority.issuer}/token".',
        )
    else:
        ring = KeyRing.open(folder, clock=clock, with_proxy=False)
    if as_authority:
        ring.publish()
    return ring


def _served_here(authority: AuthoritySettings) -> bool:
    """Whether `hopward authority serve` with these settings is what answers at the token endpoint."""
    path = urlsplit(authority.issuer).path
    return authority.token_endpoint in (f"{authority.issuer}/token", f"http://{authority.listen}{path}/token")
