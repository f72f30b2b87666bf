"""How long a server that keeps ending is left alone before its process is started again."""

from typing import Final

LONGEST_PAUSE: Final = 60.0


def pause(failures: int) -> float:
    """Seconds to wait after so many ends in succession without having served: none after the first, then
    from one second doubled up to `LONGEST_PAUSE`."""
    return min(2.0 ** (failures - 2), LONGEST_PAUSE) if failures > 1 else 0.0
