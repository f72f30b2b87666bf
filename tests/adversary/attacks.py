"""All attacks."""

from .approvals import APPROVALS
from .definitions import DEFINITIONS, NAMES
from .drip import DRIP
from .exfiltration import EXFILTRATION
from .handing_on import HANDING_ON
from .money import MONEY
from .places import PLACES
from .protocol import PROTOCOL
from .scenario import Group
from .standing import STANDING

GROUPS: tuple[Group, ...] = (
    EXFILTRATION,
    HANDING_ON,
    MONEY,
    DEFINITIONS,
    NAMES,
    APPROVALS,
    DRIP,
    PLACES,
    PROTOCOL,
    STANDING,
)
