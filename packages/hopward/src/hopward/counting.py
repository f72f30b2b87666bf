"""Whose yes counts: asked when a person gives it, and again when a permit would rest on it."""

from collections.abc import Iterable

from msgspec.structs import replace

from hopward.approval import Answer, Approval, ApproverNeed
from hopward.claims import is_agent
from hopward.clock import Instant
from hopward.containment import why_chain_contained
from hopward.errors import StateError
from hopward.model import Chain
from hopward.pattern import folded, one_person
from hopward.ports import Ledger
from hopward.revocation import why_revoked
from hopward.settings import ApprovalSettings


class Counting:
    """Who may answer what, as of now. Safe to share between threads; holds no state of its own.

    `agents` are the ids of the configured ones.
    """

    def __init__(self, ledger: Ledger, settings: ApprovalSettings, agents: Iterable[str]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._agents = frozenset(map(folded, agents))

    def groups(self, needed: Iterable[ApproverNeed], chain: Chain, by: str, at: Instant) -> tuple[str, ...]:
        """The groups that a person answers for who says yes at that time; `StateError` where there is none.

        Whoever is quarantined as a subject answers for none, and what they had said before they were revoked
        as one does not count.
        """
        if not by.strip():
            raise StateError("Somebody has to approve this; nobody is named.")
        if self.is_agent(by):
            raise StateError(f"{by} is an agent; only people approve.")
        known = {one.group: self._settings.groups.get(one.group) for one in needed}
        member = [name for name, group in known.items() if group is not None and by in group.members]
        if not member:
            groups = "; ".join(
                f"{name}: {', '.join(group.members)}" for name, group in known.items() if group
            )
            raise StateError(f"{by} is not among those who may approve this.", advice=f"They are {groups}.")
        own = one_person(by, chain.subject)
        may = [name for name in member if not own or self._settings.groups[name].subject_may_approve]
        if not may:
            told = f"This is done on behalf of {chain.subject}, so {by} may not approve it."
            raise StateError(told, advice="Nobody approves what is done in their own name.")
        fallen = self._fallen(chain, by, at)
        if fallen:
            raise StateError(f"{by} may not approve anything. {fallen}")
        return tuple(may)

    def why_lost(self, approval: Approval) -> str:
        """Why people who have said yes to an approval are not enough any more; empty where they are."""
        if is_enough(approval.needed, self.still(approval)):
            return ""
        return " ".join(told for _, told in self._lost(approval))

    def still(self, approval: Approval) -> list[Answer]:
        """Each yes to an approval that counts as of now."""
        lost = dict(self._lost(approval))
        return [one for one in approval.answers if one.yes and one.by not in lost]

    def is_agent(self, by: str) -> bool:
        """Whether a name is of an agent."""
        return is_agent(by) or folded(by) in self._agents

    def _lost(self, approval: Approval) -> Iterable[tuple[str, str]]:
        for one in approval.answers:
            if not one.yes:
                continue
            try:
                may = self.groups(approval.needed, approval.chain, one.by, one.at)
            except StateError as error:
                yield one.by, f"The yes of {one.by} counts no more. {error.message}"
                continue
            if not set(one.groups) <= set(may):
                yield one.by, f"The yes of {one.by} counts no more for {', '.join(one.groups)}."

    def _fallen(self, chain: Chain, by: str, at: Instant) -> str:
        standing = self._ledger.standing(replace(chain, subject=by))
        person = replace(
            chain, subject=by, task="", actors=(), hops=(), token="", key="", lineage=(), issued_at=at
        )
        told = why_revoked(standing.revocations, person) or why_chain_contained(standing.containments, person)
        return "" if told is None else told[1]


def is_enough(needed: Iterable[ApproverNeed], given: Iterable[Answer]) -> bool:
    """Whether so many people of each group have said yes."""
    said = [group for answer in given for group in answer.groups]
    return all(said.count(one.group) >= one.people for one in needed)
