"""What the verbs of one `hopward` invocation share: which files are in use."""

from pathlib import Path

from hopward.config import find_settings


class Session:
    """The object of the click context (`ctx.obj`), for built-in verbs and plugins alike.

    `log_file` is set by `hopward log --file`: a decision log to read instead of the configured one.
    """

    def __init__(self, given: Path | None) -> None:
        self.given = given
        self.log_file: Path | None = None

    @property
    def config(self) -> Path:
        """The `hopward.toml` in use; raises `ConfigError` when there is none."""
        return self.given if self.given is not None else find_settings(Path())
