"""The checks, by what they are about; importing this registers all of them."""

from . import asking, lifecycle, lists, notices, over_http, reading, tasks, tools

__all__ = ["asking", "lifecycle", "lists", "notices", "over_http", "reading", "tasks", "tools"]
