"""The text of a configuration, read again while the one before is in force."""

from pathlib import Path

from hopward import ConfigError, read_settings


def reread(config: Path) -> str:
    """What a configuration says now; raises `ConfigError` where it cannot be read."""
    try:
        return config.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        # It says why, unless all is well again by now.
        read_settings(config)
        raise ConfigError(f"{config} changes while it is read.", advice="Send SIGHUP again.") from None
