"""What `hopward doctor` says of keys and certificates that end."""

from collections.abc import Iterator
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from hopward.cli.finding import Finding
from hopward.clock import DAY, SECOND, Instant, SystemClock, iso
from hopward.settings import Settings

_LONG_OVERLAP = 31 * DAY
_SOON = 30 * DAY


def expiring(settings: Settings) -> Iterator[Finding]:
    """Keys and certificates that will not be good much longer, or are not any more."""
    now = SystemClock().now()
    for name, agent in settings.agents.items():
        if agent.former_key is None:
            continue
        left = agent.former_key.ends_at - now
        if left <= 0:
            told, advice = "does not count any more", f"Take it out of [agents.{name}]."
        elif left > _LONG_OVERLAP:
            told, advice = "counts for more than a month to come", "Let it end once the agent has the other."
        else:
            told, advice = f"counts until {agent.former_key.until.isoformat()}", ""
        yield Finding("note", "agents", f"The former key of {name} {told}.", advice)
    entries = [*settings.identity.issuers.items(), *settings.identity.trust_domains.items()]
    for name, entry in ((name, entry) for name, entry in entries if entry.ca_file):
        ends = _certificates_end(settings.root / entry.ca_file)
        if ends is None:
            told = f"The certificates of {name} in {entry.ca_file} cannot be read."
            yield Finding("broken", "identity", told)
        elif ends - now < _SOON:
            told = f"A certificate of {name} in {entry.ca_file} ends on {iso(ends)[:10]}."
            yield Finding("note", "identity", told, "Without it the keys cannot be fetched.")


def _certificates_end(path: Path) -> Instant | None:
    """When the first of the certificates in a file ends; None where it cannot be read."""
    try:
        found = load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    return min(int(one.not_valid_after_utc.timestamp()) * SECOND for one in found)
