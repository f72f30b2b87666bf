"""Hopward itself without one of its defences, where no setting takes it away."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

Patch = Callable[[], AbstractContextManager[object]]


def replaced(target: str, value: Any) -> Patch:
    """Something of a module, `module.name`, is another while it lasts."""

    @contextmanager
    def patch() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patching:
            patching.setattr(target, value)
            yield

    return patch
