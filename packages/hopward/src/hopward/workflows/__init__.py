"""Workflows as they are written: what is wrong with their paths, and how they look.

graph    which steps lead to which       mermaid, layout, svg   a workflow drawn
check    what `workflow check` finds      leaks                  untrusted content before an outside effect
"""

from hopward.workflows.check import Checked, Finding, findings
from hopward.workflows.graph import steps_of
from hopward.workflows.mermaid import mermaid
from hopward.workflows.svg import svg

__all__ = ["Checked", "Finding", "findings", "mermaid", "steps_of", "svg"]
