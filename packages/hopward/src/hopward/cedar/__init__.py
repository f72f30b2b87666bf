"""Cedar, through cedarpy, which nothing outside this package imports.

text      where things stand in a policy file: tokens, policies, lines
schema    the Cedar schema of the classified tools, and arguments and hops in its form
faults    mistakes that Cedar's validator lets pass
reading   policy files -> policies, or every mistake in them
request   what Cedar is asked about one call or delegation
engine    `CedarEngine`: policies and facts in, a verdict out
"""

from hopward.cedar.engine import CedarEngine, Explanation, Step
from hopward.cedar.schema import schema_text

__all__ = ["CedarEngine", "Explanation", "Step", "schema_text"]
