"""All attacks."""

from ..scenario import Group
from .approvals import APPROVALS
from .definitions import DEFINITIONS, NAMES
from .drip import DRIP
from .exfiltration import EXFILTRATION
from .money import MONEY
from .places import PLACES
from .protocol import PROTOCOL
from .standing import STANDING

GROUPS: tuple[Group, ...] = (EXFILTRATION, MONEY, DEFINITIONS, NAMES, APPROVALS, DRIP, PLACES, PROTOCOL, STANDING)
