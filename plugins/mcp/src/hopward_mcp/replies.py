"""What the client is told when Hopward refuses a request: a sentence and a decision id, never a secret."""

from hopward import Decision
from hopward_mcp.jsonrpc import REFUSED, Body, Message, error, result
from hopward_mcp.methods import is_modern

DECISION_KEY = "dev.hopward/decision"


def refusal(message: Message, decision: Decision | None) -> bytes:
    """The answer to a request that was not permitted; without a decision it could not be decided.

    `tools/call` is answered with a tool error, which a model can read and act on; other requests with a
    JSON-RPC error.
    """
    if decision is None:
        sentence = "Hopward could not reach a decision. The call was not executed."
        data: Body = {"id": "", "verdict": "deny", "reason": "undecided"}
    else:
        sentence = f"{decision.verdict.sentence} The call was not executed. Decision {decision.id}."
        verdict = decision.verdict
        data = {"id": decision.id, "verdict": verdict.name, "reason": verdict.reason}
    if message.method == "tools/call":
        return tool_error(message, sentence, data)
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
