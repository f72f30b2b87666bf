"""A million events leave no more behind than a thousand."""

from random import Random

from hopward.behaviour import UNSEEN, Event, States, Watch, changed, token
from hopward.clock import SECOND
from hopward.testing.clock import NOON
from hopward.thresholds import RiskSettings

RULES = RiskSettings()
MOST_BYTES = 4_096
EVENTS, AT_ONCE = 1_000_000, 20_000


def _after(states: States, events: tuple[Event, ...]) -> States:
    return changed(Watch("helper", "task_1", events, RULES), states)


def test_a_million_events_keep_the_size_of_what_is_remembered() -> None:
    random, states, at = Random(7), UNSEEN, NOON
    names = [token(str(number)) for number in range(5_000)]
    kinds = ("attempt", "permit", "deny", "error", "opened", "ended")

    def one() -> Event:
        nonlocal at
        at += random.choice((0, 1_000, 10_000, SECOND, -SECOND))
        name = random.choice(names)
        return Event(random.choice(kinds), at, name, (name,), name, at + SECOND)

    batch = tuple(one() for _ in range(AT_ONCE))
    sizes: list[int] = []
    for _ in range(EVENTS // AT_ONCE):
        states = _after(states, batch)
        sizes.append(sum(map(len, states)))
    assert max(sizes) <= MOST_BYTES
    assert max(sizes) - sizes[0] <= 64
