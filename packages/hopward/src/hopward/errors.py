"""Every exception Hopward raises.

    HopwardError                 base; carries a stable short code in ``error``
    ├── ConfigError              hopward.toml, a policy or a schema cannot be used; names file and line
    ├── NotFoundError            no such task, agent, server, decision
    ├── StateError               the thing exists, but its state forbids this (a completed task)
    ├── ChainError               the caller's chain is not genuine, expired, or does not fit the task
    ├── TokenError               a token is malformed, badly signed, of the wrong type, or not for us
    ├── ExchangeRefusedError     RFC 8693 exchange refused; ``error`` is the OAuth error code
    ├── PolicyError              the policy engine could not evaluate
    └── LedgerError              the decision log cannot be read or written
        └── LedgerCorruptError   the decision log does not verify

A refusal of a tool call is a `Decision`, never an exception. An exception out of the guard means
"could not decide", and whoever enforces treats it as a refusal.
"""


class HopwardError(Exception):
    """Base of all Hopward errors.

    `error` is a stable machine code. `advice` is the next thing a person can do, or empty.
    """

    error: str = "hopward_error"

    def __init__(self, message: str, *, error: str | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        if error is not None:
            self.error = error

    def __str__(self) -> str:
        return f"{self.message}\n  {self.advice}" if self.advice else self.message


class ConfigError(HopwardError):
    """The configuration cannot be used. `problems` holds one line per mistake, each with file and line."""

    error = "config_invalid"

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(
            [self.message, *(f"  {p}" for p in self.problems), *([f"  {self.advice}"] if self.advice else [])]
        )


class NotFoundError(HopwardError):
    """No task, agent, server or decision has that name."""

    error = "not_found"


class StateError(HopwardError):
    """The state of a task or agent forbids the operation."""

    error = "wrong_state"


class ChainError(HopwardError):
    """A caller's chain is not genuine, has expired, or does not fit its task."""

    error = "chain_invalid"


class TokenError(HopwardError):
    """A token is malformed, badly signed, of the wrong type, or meant for someone else."""

    error = "invalid_token"


class ExchangeRefusedError(HopwardError):
    """A token exchange was refused (RFC 8693 section 2.2.2); `error` is the OAuth error code."""

    error = "invalid_request"


class PolicyError(HopwardError):
    """The policy engine could not evaluate or load a policy set."""

    error = "policy_error"


class LedgerError(HopwardError):
    """The decision log cannot be read or written."""

    error = "log_unavailable"


class LedgerCorruptError(LedgerError):
    """The decision log does not verify: a row was edited, inserted, removed or reordered."""

    error = "log_corrupt"
