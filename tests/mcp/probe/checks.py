"""All the checks: importing this registers them."""

from importlib import import_module

ORDER = ("lifecycle", "tools", "lists", "reading", "asking", "notices", "tasks", "over_http")
"""As the page has them."""

for name in ORDER:
    import_module(f".check_{name}", __package__)
