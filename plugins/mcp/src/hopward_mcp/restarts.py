"""How long a server is left alone that keeps ending, or that keeps refusing, before it is tried again."""

from typing import Final

LONGEST_PAUSE: Final = 60.0


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in succession: none after the first, then from one second
    doubled up to `LONGEST_PAUSE`."""
    return min(2.0 ** (failures - 2), LONGEST_PAUSE) if failures > 1 else 0.0
