"""An approval and its parts, as values: what was asked, of whom, what they said, and what became of it."""

from typing import Any, Literal, TypeAlias

from hopward.clock import Instant
from hopward.model import Chain, Integrity, Sensitivity, Tool, Value

ApprovalState: TypeAlias = Literal["pending", "approved", "rejected", "consumed", "expired", "void"]
STATES: tuple[ApprovalState, ...] = ("pending", "approved", "rejected", "consumed", "expired", "void")
LIVE: tuple[ApprovalState, ...] = ("pending", "approved")
"""The states that end by themselves, with the time."""


class ApproverNeed(Value, frozen=True):
    """One group whose approval is needed, and of how many of its people."""

    group: str
    people: int


class Answer(Value, frozen=True):
    """What one person said about an approval, for which of the groups that are needed, and why.

    A yes is to `times` such calls (`hopward.grant`). `same_as` is the approval that they looked at, where
    they have answered this one along with it because it asks the same.
    """

    by: str
    at: Instant
    yes: bool
    why: str
    groups: tuple[str, ...] = ()
    times: int = 1
    same_as: str = ""


class Use(Value, frozen=True):
    """One permit that has used an approval, and what an approval of exactly its call would be bound to."""

    decision: str
    at: Instant
    binding: str


class Taken(Value, frozen=True):
    """What a task has taken in: the highest labels, and the servers whose content is untrusted."""

    sensitivity: Sensitivity = "public"
    integrity: Integrity = "trusted"
    untrusted: tuple[str, ...] = ()


class Approval(Value, frozen=True):
    """A person's yes to one exact call, or the question whether they give it. Single use, and it expires.

    A grant is a yes to as many as `times` calls of the task that are like the one shown (`hopward.grant`):
    `alike` is the digest of what they have in common, and none spends more than `amount` of `currency`.

    `binding` is the digest of all that it holds for: another call, chain, classification, policy set or
    `pin` has another one. `decision` is the step-up that asked, `chain` who asked; `arguments` are as the
    decision log keeps them, `purposes` those of the task and of each hop. `expires_at` is until when it
    may be answered, and, once approved, until when the call may be made. `consumed_by` is the decision that
    used it up, `uses` are all that have used it; `replaced_by` is the approval of the same call with the
    arguments a person put in their place.
    `provenance` of arguments, `destinations` `taken` and `risk` are as they were when it was asked (`Facts`).
    """

    id: str
    state: ApprovalState
    binding: str
    decision: str
    chain: Chain
    server: str
    tool: str
    arguments: dict[str, Any]
    call_digest: str
    policy_set: str
    policies: tuple[str, ...]
    sentence: str
    purposes: tuple[str, ...]
    needed: tuple[ApproverNeed, ...]
    requested_at: Instant
    expires_at: Instant
    classification: Tool | None = None
    pin: str = ""
    answers: tuple[Answer, ...] = ()
    consumed_by: str = ""
    replaced_by: str = ""
    provenance: dict[str, str] = {}
    destinations: tuple[str, ...] = ()
    taken: Taken = Taken()
    risk: Literal["low", "elevated", "high", "critical"] = "low"
    alike: str = ""
    currency: str = ""
    amount: int = 0
    times: int = 1
    uses: tuple[Use, ...] = ()

    @property
    def left(self) -> int:
        """How many calls a yes holds for yet."""
        return 0 if self.state == "consumed" else max(self.times - len(self.uses), 0)

    @property
    def name(self) -> str:
        """What is asked for: `SERVER/TOOL`, or `delegate:AGENT`."""
        return f"{self.server}/{self.tool}" if self.server else self.tool


class Which(Value, frozen=True):
    """Which stored approvals: those in one of `states`, or of `task`, if given, and at most `limit` of them.

    With `at`, an instant, in the states that they are in by then as far as time goes. With the id `before`,
    only those that were asked for before that one.
    """

    states: tuple[ApprovalState, ...] = ()
    task: str = ""
    limit: int = 100
    at: Instant = 0
    before: str = ""


EVERY = Which()
