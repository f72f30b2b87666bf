"""What the client is told when Hopward refuses a request: a sentence and a decision id, never a secret."""

from hopward import Decision
from hopward_mcp.jsonrpc import METHOD_NOT_FOUND, REFUSED, Body, Message, error, result
from hopward_mcp.methods import is_modern
from hopward_mcp.route import Reply

DECISION_KEY = "dev.hopward/decision"
REFUSED_KEY = "dev.hopward/refused"
"""In an acknowledgement: what was refused of a `subscriptions/listen`, by URI, as under `DECISION_KEY`."""


def refusal(message: Message, decision: Decision | None) -> bytes:
    """The answer to a request that was not permitted; without a decision it could not be decided.

    `tools/call` is answered with a tool error, which a model can read and act on; other requests with a
    JSON-RPC error.
    """
    return _answer(message, *_told(decision))


def why_refused(decision: Decision | None) -> Body:
    """`id`, `verdict` and `reason` of what was not permitted."""
    return _told(decision)[1]


_AWAY = frozenset({"authority_unreachable", "authority_timed_out", "authority_circuit_open"})


def no_credential(message: Message, decision: Decision | None, why: str) -> bytes:
    """The answer to a request that was permitted and yet not forwarded; `why` is a reason code."""
    _, data = _told(decision)
    sentence = "The call was permitted, but no credential could be obtained, so it was not executed."
    if why in _AWAY:
        sentence += " The authorization server does not answer at present: try again later."
    sentence = f"{sentence} Decision {data['id']}."
    return _answer(message, sentence, {**data, "reason": "no_credential", "why": why})


def withdrawn(message: Message, decision: Decision | None, told: str) -> bytes:
    """The answer to a call that was permitted, and cancelled while it was under way."""
    _, data = _told(decision)
    sentence = f"{told} The call was cancelled while it was under way; the server may have done some of it."
    return _answer(message, f"{sentence} Decision {data['id']}.", {**data, "reason": "withdrawn"})


def turned_down(message: Message, decision: Decision | None) -> Reply:
    """The answer to a request of the server that was not permitted.

    What nobody has classified is not there, which a server can make something of.
    """
    _, data = _told(decision)
    sentence, code = "Hopward could not reach a decision.", REFUSED
    if decision is not None:
        sentence = decision.verdict.sentence
        code = METHOD_NOT_FOUND if decision.verdict.reason == "tool_unclassified" else REFUSED
        sentence = f"{sentence} The client was not asked. Decision {decision.id}."
    told = error(message.id, code, sentence, {"decision": data.pop("id"), **data})
    return Reply(told, code, decision)


def input_required(message: Message, decision: Decision, asked: Body, state: str) -> bytes:
    """The answer to a step-up whose client can reach a person (2026-07-28, basic/utilities/mrtr)."""
    _, data = _told(decision)
    content: Body = {
        "resultType": "input_required",
        "inputRequests": asked,
        "requestState": state,
        "_meta": {DECISION_KEY: data},
    }
    return result(message.id, content)


def step_up(message: Message, decision: Decision) -> bytes:
    """The same for a call that a token of more scope would reach: the client, not the model, can act."""
    return _as_error(message, *_told(decision))


def _told(decision: Decision | None) -> tuple[str, Body]:
    if decision is None:
        sentence = "Hopward could not reach a decision. The call was not executed."
        return sentence, {"id": "", "verdict": "deny", "reason": "undecided"}
    verdict = decision.verdict
    sentence = f"{verdict.sentence} The call was not executed. Decision {decision.id}."
    data: Body = {"id": decision.id, "verdict": verdict.name, "reason": verdict.reason}
    return sentence, data | ({"approval": decision.approval} if decision.approval else {})


def _answer(message: Message, sentence: str, data: Body) -> bytes:
    if message.method == "tools/call":
        return tool_error(message, sentence, data)
    return _as_error(message, sentence, data)


def _as_error(message: Message, sentence: str, data: Body) -> bytes:
    return error(message.id, REFUSED, sentence, {"decision": data.pop("id"), **data})


def tool_error(message: Message, sentence: str, data: Body) -> bytes:
    """A CallToolResult with `isError`, valid in both eras."""
    content: Body = {
        "content": [{"type": "text", "text": sentence}],
        "isError": True,
        "_meta": {DECISION_KEY: data},
    }
    if is_modern(message):
        content["resultType"] = "complete"
    return result(message.id, content)
