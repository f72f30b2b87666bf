"""A process of its own that uses the decision log at argv[1]; its parent reads what it prints."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hopward.clock import SystemClock
from hopward.ledger import SqliteLedger
from hopward.record import Draft, Receipt, Reservation
from hopward.testing.samples import NOTE, a_draft, a_revocation

SHARE = Reservation(("task_1",), calls=1, writes=0)


def permit(number: int) -> Draft:
    """A permit that takes a call of the budget, and its credential."""
    decision = f"dec_{number}"
    return a_draft(decision=decision, reserve=SHARE, follow=(a_draft(kind="credential", decision=decision),))


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append_for_ever(ledger: SqliteLedger) -> None:
    number = 0
    while True:
        (receipt,) = ledger.record([permit(number)])
        say(receipt.seq, receipt.hash)
        number += 1


def append(ledger: SqliteLedger, times: int, threads: int) -> None:
    """Waits for a line of input, so that processes start together; says what became of every draft."""
    say("ready")
    sys.stdin.readline()

    def one(number: int) -> Receipt:
        return ledger.record([permit(number)])[0]

    with ThreadPoolExecutor(threads) as pool:
        for receipt in pool.map(one, range(times)):
            say(receipt.refused or receipt.seq)


def revoke(ledger: SqliteLedger) -> None:
    say(ledger.revoke(a_revocation("agent", "helper"), NOTE).seq)


def present(ledger: SqliteLedger, value: str) -> None:
    say(ledger.seen_once("jti", value, SystemClock().now() + 10**9))


def main() -> None:
    path, what, *arguments = sys.argv[1:]
    ledger = SqliteLedger.open(Path(path), clock=SystemClock())
    match what:
        case "append-for-ever":
            append_for_ever(ledger)
        case "append":
            append(ledger, int(arguments[0]), int(arguments[1]))
        case "revoke":
            revoke(ledger)
        case "present":
            present(ledger, arguments[0])
        case _:
            raise SystemExit(f"unknown: {what}")
    ledger.close()


if __name__ == "__main__":
    main()
