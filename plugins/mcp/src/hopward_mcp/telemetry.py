"""`[telemetry]` of hopward.toml: loads OpenTelemetry where it is asked for, and nothing elsewhere."""

import importlib
from importlib.util import find_spec

from hopward import ConfigError, Settings
from hopward_mcp.tracing import Tracing

_NEEDED = (
    "opentelemetry",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "opentelemetry.exporter.otlp.proto.http",
)


def require_packages(settings: Settings) -> None:
    """Raise `ConfigError` where spans are asked for and their packages are missing."""
    if settings.telemetry is not None and not all(map(_is_installed, _NEEDED)):
        raise ConfigError(
            "[telemetry] needs the OpenTelemetry packages, which are not installed.",
            advice="Install hopward-mcp[otel], or take [telemetry] out of hopward.toml.",
        )


def tracing_of(settings: Settings) -> Tracing | None:
    """The tracing that the settings ask for; raises `ConfigError` where its packages are missing."""
    if settings.telemetry is None:
        return None
    require_packages(settings)
    tracing: Tracing = importlib.import_module("hopward_mcp.spans").Spans(settings)
    return tracing


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:
        # What it stands in is missing.
        return False
