"""What a run has found, as coverage.json keeps it: without times, ids and places, the same for every run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .cells import Cell
from .feature import FEATURES
from .gaps import GAPS, explained
from .run import WORKS, Saw, verdict

FILE = Path(__file__).with_name("coverage.json")
UNEXPLAINED = "unexplained"


def verdicts(seen: Mapping[Cell, Saw]) -> Iterator[tuple[str, str, Cell, str]]:
    """Group and name of each feature, each cell that has it, and the verdict."""
    for one in FEATURES:
        for cell in seen:
            if one.applies(cell):
                yield one.group, one.name, cell, verdict(one, cell, seen)


def document(seen: Mapping[Cell, Saw]) -> dict[str, Any]:
    """Everything that a run has found."""
    features: dict[str, dict[str, Any]] = {}
    for group, name, cell, found in verdicts(seen):
        entry = features.setdefault(name, {"group": group, "feature": name, "cells": {}})
        entry["cells"][cell.name] = found if found == WORKS else _explained(name, cell, found)
    used = [gap for gap in GAPS if any(_reason(gap) in str(entry) for entry in features.values())]
    reasons = [{"kind": gap.kind, "reason": gap.reason} for gap in used]
    return {"cells": [cell.name for cell in seen], "features": list(features.values()), "reasons": reasons}


def _explained(name: str, cell: Cell, found: str) -> dict[str, str]:
    gap = explained(name, cell.name) if cell.pair else None
    return {"seen": found, "because": _reason(gap) if gap is not None else UNEXPLAINED}


def _reason(gap: Any) -> str:
    return gap.reason


def written(found: dict[str, Any]) -> str:
    """The text of coverage.json."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
