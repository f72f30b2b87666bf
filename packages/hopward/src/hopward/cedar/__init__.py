"""Cedar, through cedarpy, which nothing outside this package imports.

text      where things stand in a policy file: tokens, policies, lines
schema    the Cedar schema of the classified tools, and arguments in its form
reading   policy files -> policies, or every mistake in them
engine    `CedarEngine`: policies and facts in, a verdict out
"""

from hopward.cedar.engine import CedarEngine, Explanation, Step
from hopward.cedar.schema import schema_text

__all__ = ["CedarEngine", "Explanation", "Step", "schema_text"]
