"""All attacks."""

from ..scenario import Group
from .approvals import APPROVALS
from .definitions import DEFINITIONS, NAMES
from .drip import DRIP
from .exfiltration import EXFILTRATION
from .money import MONEY

GROUPS: tuple[Group, ...] = (EXFILTRATION, MONEY, DEFINITIONS, NAMES, APPROVALS, DRIP)
