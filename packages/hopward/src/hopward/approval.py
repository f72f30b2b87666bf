"""An approval and its parts, as values: what was asked, of whom, what they said, and what became of it."""

from typing import Any, Literal, TypeAlias

from hopward.clock import Instant
from hopward.model import Chain, Integrity, Sensitivity, Tool, Value

ApprovalState: TypeAlias = Literal["pending", "approved", "rejected", "consumed", "expired", "void"]


class ApproverNeed(Value, frozen=True):
    """One group whose approval is needed, and of how many of its people."""

    group: str
    people: int


class Answer(Value, frozen=True):
    """What one person said about an approval, for which of the groups that are needed, and why."""

    by: str
    at: Instant
    yes: bool
    why: str
    groups: tuple[str, ...] = ()


class Taken(Value, frozen=True):
    """What a task has taken in: the highest labels, and the servers whose content is untrusted."""

    sensitivity: Sensitivity = "public"
    integrity: Integrity = "trusted"
    untrusted: tuple[str, ...] = ()


class Approval(Value, frozen=True):
    """A person's yes to one exact call, or the question whether they give it. Single use, and it expires.

    `binding` is the digest of all that it holds for: another call, chain, classification, policy set or
    `pin` has another one. `decision` is the step-up that asked, `chain` who asked; `arguments` are as the
    decision log keeps them, `purposes` those of the task and of each hop. `expires_at` is until when it
    may be answered, and, once approved, until when the call may be made. `consumed_by` is the decision that
    used it up, `replaced_by` the approval of the same call with the arguments a person put in their place.
    `provenance` of arguments, `destinations` and `taken` are as they were when it was asked (`Facts`).
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

    @property
    def name(self) -> str:
        """What is asked for: `SERVER/TOOL`, or `delegate:AGENT`."""
        return f"{self.server}/{self.tool}" if self.server else self.tool
