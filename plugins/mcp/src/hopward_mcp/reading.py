"""The text of a configuration, read again while the one before is in force."""

from pathlib import Path

from hopward import ConfigError, read_settings

_LARGEST = 4 * 1024 * 1024
"""Characters; a larger file is refused when it is read as one."""


def reread(config: Path) -> str:
    """What a configuration says now; raises `ConfigError` where it cannot be used, or everyone could change
    it."""
    read_settings(config)
    try:
        text = config.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None or len(text) > _LARGEST:
        raise ConfigError(f"{config} changes while it is read.", advice="Try again.")
    return text
