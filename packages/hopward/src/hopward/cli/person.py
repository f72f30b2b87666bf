"""Who is at the keyboard, as far as the operating system knows."""

import getpass


def local_user() -> str:
    """`local:USER`: the subject and revoker when none is named. It is a label, not a proof."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):
        return "local:unknown"
