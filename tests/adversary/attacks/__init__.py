"""All attacks."""

from ..scenario import Group
from .definitions import DEFINITIONS, NAMES
from .drip import DRIP
from .exfiltration import EXFILTRATION
from .money import MONEY

GROUPS: tuple[Group, ...] = (EXFILTRATION, MONEY, DEFINITIONS, NAMES, DRIP)
