"""From a period of the decision log to the narrowest configuration that would have permitted it.

What went on, permitted or observed, is learned from; what was refused is not, nor, unless that is asked for,
what was done after untrusted content. A policy of yours that forbids, or asks a person, is never loosened. A
suggestion is proven before it is shown: every call it is based on is decided again under it, and is
permitted, or still waits for a person where a policy asks one.

    seen      the calls of a period, sorted         grants    capabilities, budgets, classifications
    limits    conditions on arguments               writing   the text of it, with what each line rests on
    replay    recorded calls decided again
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from hopward.cedar import CedarEngine
from hopward.classification import Classifications, classified
from hopward.config import checked_settings
from hopward.errors import ConfigError, StateError
from hopward.record import Refusal, Row
from hopward.settings import Settings
from hopward.suggestion.grants import Grant, Proposed, Spent, grants, proposed, spent
from hopward.suggestion.replay import Terms, covered, refusal, within_budget
from hopward.suggestion.seen import Period, Seen, Wish, period_of
from hopward.suggestion.writing import Editing, policies

__all__ = ["Installed", "Suggestion", "Terms", "Wish", "refusal", "suggest"]

POLICIES = "suggested.cedar"
"""The file in the policies folder that suggested policies stand in."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is in force: the path and text of `hopward.toml`, and the policy files by name."""

    path: Path
    text: str
    files: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        """Raises `ConfigError`."""
        return checked_settings(self.text, self.path)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to write instead, and what it rests on.

    `asked` are those of the learned calls that a policy still asks a person about; all others are permitted.
    `still` are calls that it does not permit, with why.
    """

    before: Installed
    after: Installed
    learned: tuple[Seen, ...]
    asked: tuple[Seen, ...]
    period: Period
    still: tuple[tuple[Seen, str], ...]
    proposed: tuple[Proposed, ...]
    grants: tuple[Grant, ...]
    ceilings: tuple[Grant, ...]
    spent: tuple[Spent, ...]

    @property
    def terms(self) -> Terms:
        """What calls would be decided under."""
        return terms_of(self.after)

    @property
    def diff(self) -> str:
        """A unified diff of `hopward.toml` and the policies; empty where nothing would change."""
        folder = self.before.settings.policies
        policies_name = f"{folder.name}/{POLICIES}"
        old, new = self.before.files.get(POLICIES, ""), self.after.files.get(POLICIES, "")
        return _diff(self.before.path.name, self.before.text, self.after.text) + _diff(
            policies_name, old, new, new_file=POLICIES not in self.before.files
        )


@dataclass(slots=True)
class _Draft:
    """One try at a suggestion."""

    after: Installed
    proposed: list[Proposed]
    grants: list[Grant]
    ceilings: list[Grant]
    spent: list[Spent]
    refused: dict[str, Refusal] = field(default_factory=dict[str, Refusal])
    asked: frozenset[str] = frozenset()


def suggest(installed: Installed, rows: Iterable[Row], wish: Wish) -> Suggestion:
    """The narrowest suggestion for what rows of decisions, oldest first, tell of.

    Raises `ConfigError` where the configuration cannot be used, or is written so that nothing can be changed
    in it, `StateError` should the suggestion not permit what it is based on.
    """
    settings = installed.settings
    period = period_of(rows, settings.workflows, wish)
    learned, still = period.learned, list[tuple[Seen, str]]()
    while True:
        draft = _drafted(installed, settings, learned, wish)
        if not draft.refused:
            break
        still += [(one, draft.refused[one.decision][1]) for one in learned if one.decision in draft.refused]
        # What is left needs no more than before, so this ends.
        learned = [one for one in learned if one.decision not in draft.refused]
    if not (wish.server or within_budget(learned, terms_of(draft.after))):
        raise StateError("The suggested budgets do not cover the calls they are based on.")
    return Suggestion(
        before=installed,
        after=draft.after,
        learned=tuple(learned),
        asked=tuple(one for one in learned if one.decision in draft.asked),
        period=period,
        still=tuple(still),
        proposed=tuple(draft.proposed),
        grants=tuple(draft.grants),
        ceilings=tuple(draft.ceilings),
        spent=tuple(draft.spent),
    )


def terms_of(installed: Installed) -> Terms:
    """What calls are decided under; raises `ConfigError`."""
    settings = installed.settings
    tools, groups = classified(settings.servers), settings.approvals.groups
    return Terms(settings, CedarEngine(installed.files, tools, groups), Classifications(tools))


def _drafted(installed: Installed, settings: Settings, learned: Sequence[Seen], wish: Wish) -> _Draft:
    try:
        return _tried(installed, settings, learned, wish, classify=True)
    except ConfigError:
        # What an agent has called something may fit into no configuration; without that, the rest may.
        return _tried(installed, settings, learned, wish, classify=False)


def _tried(
    installed: Installed, settings: Settings, learned: Sequence[Seen], wish: Wish, *, classify: bool
) -> _Draft:
    tools = classified(settings.servers)
    new = proposed(learned, tools) if classify else []
    tools = (*tools, *(one.tool for one in new))
    granted = grants(learned, tools)
    ceilings = [one for one in granted if not _within_ceiling(settings, one)]
    budgets = [] if wish.server else spent(learned, tools)
    text = _text(installed.text, settings, _Draft(installed, new, granted, ceilings, budgets), wish)
    after = Installed(installed.path, text, installed.files)
    refused, asked = _judged(learned, after)
    lacking = {name for name, (reason, _) in refused.items() if reason == "no_policy"}
    if lacking:
        needed = [one for one in granted if any(seen.decision in lacking for seen in one.basis.seen)]
        before = f"{installed.files[POLICIES].rstrip()}\n\n" if POLICIES in installed.files else ""
        files = {**installed.files, POLICIES: before + policies(needed)}
        after = Installed(installed.path, text, files)
        refused, asked = _judged(learned, after)
    return _Draft(after, new, granted, ceilings, budgets, refused, asked)


def _judged(learned: Sequence[Seen], after: Installed) -> tuple[dict[str, Refusal], frozenset[str]]:
    """Which decisions would be refusals, with why, and which a person would be asked about."""
    terms = terms_of(after)
    found = ((one.decision, refusal(one, terms)) for one in learned)
    refused = {decision: why for decision, why in found if why is not None}
    asked = frozenset(decision for decision, (reason, _) in refused.items() if reason == "approval_required")
    return {decision: why for decision, why in refused.items() if decision not in asked}, asked


def _within_ceiling(settings: Settings, grant: Grant) -> bool:
    ceiling = settings.agents[grant.agent].ceiling
    return all(covered(ceiling, one, grant.tool) for one in grant.basis.seen)


def _text(text: str, settings: Settings, draft: _Draft, wish: Wish) -> str:
    editing = Editing(text)
    for workflow in dict.fromkeys(one.workflow for one in draft.grants):
        mine = [one for one in draft.grants if one.workflow == workflow]
        known = settings.workflows[workflow].capabilities
        # With --server, what reaches other servers stays: nothing is known of their calls.
        kept = [index for index, one in enumerate(known) if _stays(one.tools, wish.server)]
        editing.capabilities(workflow, mine, kept)
    for agent in dict.fromkeys(one.agent for one in draft.ceilings):
        editing.ceiling(agent, [one for one in draft.ceilings if one.agent == agent])
    for budget in draft.spent:
        editing.budget(budget)
    for one in draft.proposed:
        editing.classification(one)
    return editing.result()


def _stays(names: Iterable[str], server: str) -> bool:
    return bool(server) and any(not name.startswith(f"{server}/") for name in names)


def _diff(name: str, before: str, after: str, *, new_file: bool = False) -> str:
    old = "/dev/null" if new_file else f"a/{name}"
    ours, theirs = (text.splitlines(keepends=True) for text in (before, after))
    lines = unified_diff(ours, theirs, old, f"b/{name}")
    return "".join(one if one.endswith("\n") else f"{one}\n\\ No newline at end of file\n" for one in lines)
