"""Who runs this process, as the operating system knows: no variable of the environment can change it."""

import os
import sys

if sys.platform != "win32":
    import pwd


def os_user() -> str:
    """`local:NAME` of the user that this process runs as; `local:NUMBER` for one without a name."""
    if sys.platform == "win32":
        return f"local:{os.getlogin()}"
    number = os.getuid()
    try:
        return f"local:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"local:{number}"
