"""Puts the repository's root on the path: `bench` is a folder of it and no distribution."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

sys.path.insert(0, str(ROOT))
