"""Messages to a webhook, signed so that their receiver can tell them from anybody else's.

Standard Webhooks 1.0.0 (spec/standard-webhooks.md): sections "Signature scheme" (HMAC-SHA256, `v1`) and
"Webhook headers". No network here.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from hopward import keyfile
from hopward.errors import ConfigError
from hopward.settings import Settings

PREFIX = "whsec_"
"""What a secret begins with, where it is written."""

_SIZES = range(24, 65)
"""Bytes of a secret: 192 to 512 bits, as the specification has it."""

_MAKE = "hopward authority secret makes one."


def not_configured() -> ConfigError:
    """The error of an installation without a webhook."""
    return ConfigError("No webhook is configured.", advice="Add [approvals.webhook] to hopward.toml.")


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets in a file of this user, one a line; each signs, so that one can take over from another.

    Raises `ConfigError` where there are none, or one is not as it must be; none of them is repeated.
    """
    if not path.exists():
        raise ConfigError(f"There is no webhook secret in {path}.", advice=_MAKE)
    data, _ = keyfile.read(path)
    lines = [line.strip() for line in data.decode("ascii", "replace").splitlines() if line.strip()]
    if not lines:
        raise ConfigError(f"There is no webhook secret in {path}.", advice=_MAKE)
    return tuple(_secret(path, number, line) for number, line in enumerate(lines, 1))


def make_secret(settings: Settings) -> Path:
    """Write a new secret into the configured file, which only its owner can read then, and say which it is.

    Raises `ConfigError` if there is one.
    """
    if settings.approvals.webhook is None:
        raise not_configured()
    path = settings.root / settings.approvals.webhook.secret_file
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        advice = "To change it, put another one on a second line, and take the first away later."
        raise ConfigError(f"There is a webhook secret in {path} already.", advice=advice) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    return path


def signed(keys: Sequence[bytes], message: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message sent `at` (Unix seconds). `message` is its id, and must not hold a dot."""
    content = f"{message}.{at}.".encode() + body
    made = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }


def _secret(path: Path, number: int, line: str) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if not line.startswith(PREFIX) or len(secret) not in _SIZES:
        told = f"{path}:{number}: this is no webhook secret: {PREFIX} and 24 to 64 bytes in base64."
        raise ConfigError(told, advice=_MAKE)
    return secret
