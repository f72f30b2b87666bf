"""All attacks."""

from ..scenario import Group
from .drip import DRIP
from .exfiltration import EXFILTRATION
from .money import MONEY

GROUPS: tuple[Group, ...] = (EXFILTRATION, MONEY, DRIP)
