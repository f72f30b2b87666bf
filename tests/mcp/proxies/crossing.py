"""A server that tells everybody its own secret, in every way there is, as late and as mixed up as it can.

The secret is made of the subject in the credential that a message came with: whoever hears another one's has
got what belongs to another principal. Calls are answered once `size` of them are under way, in an order of
chance. Run as a program it is a server over stdio: crossing.py SIZE
"""

import base64
import json
import os
import random
import sys

MODERN = "2026-07-28"
TOKEN = "same"
"""The progress token of every call, and the id of every subscription."""


def secret(subject):
    return f"secret-of-{subject}."


def subject(token):
    """Of a credential; checking it is not what this server is for."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "==="))["sub"]


class Crossing:
    """Hears messages, each with the subject it came for and a function that sends where it came from."""

    def __init__(self, size):
        self.size = size
        self.waiting = []
        self.answered = []
        self.chance = random.Random(200)

    def hear(self, message, subject, send):
        method, message_id = message.get("method"), message.get("id")
        if method is None:
            self.answered.append((subject, json.dumps(message)))
        elif method == "tools/call":
            self.waiting.append((message, subject, send))
            if len(self.waiting) == self.size:
                self.release()
        elif method == "subscriptions/listen":
            tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": message_id}}
            send({"method": "notifications/subscriptions/acknowledged", "params": tag})
            self.tell(subject, send, tag)
        elif message_id is not None:
            send({"id": message_id, "result": self.result(method, subject)})

    def tell(self, subject, send, tag):
        """What belongs to no request."""
        send({"method": "notifications/resources/updated", "params": {"uri": secret(subject), **tag}})

    def ask(self, send):
        """What the client has to answer: the same id for everybody."""
        send({"id": 1, "method": "roots/list", "params": {}})

    def release(self):
        waiting, self.waiting = self.waiting, []
        self.chance.shuffle(waiting)
        for message, subject, send in waiting:
            progress = {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1}
            send({"method": "notifications/progress", "params": {**progress, "message": secret(subject)}})
        for message, subject, send in waiting:
            heard = [answer for one, answer in self.answered if one == subject]
            told = json.dumps([message["params"]["arguments"], secret(subject), heard])
            send({"id": message["id"], "result": {"content": [{"type": "text", "text": told}]}})

    def result(self, method, subject):
        info = {"name": "crossing", "version": "1"}
        if method == "server/discover":
            return {"supportedVersions": [MODERN], "capabilities": {}, "ttlMs": 0}
        if method == "initialize":
            told = {"capabilities": {}, "serverInfo": info, "instructions": secret(subject)}
            return {"protocolVersion": "2025-11-25", **told}
        return {}


def main():
    crossing = Crossing(int(sys.argv[1]))

    def send(message):
        os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    known, early, legacy = "", [], False
    for line in sys.stdin.buffer:
        message = json.loads(line)
        legacy = legacy or message.get("method") == "initialize"
        credential = message.get("params", {}).get("_meta", {}).get("dev.hopward/credential")
        if credential and not known:
            # One process is one principal's, and what belongs to no call waits until it is known whose.
            known = subject(credential)
            for one in early:
                crossing.hear(one, known, send)
            if legacy:
                crossing.tell(known, send, {})
                crossing.ask(send)
        if message.get("method") == "subscriptions/listen" and not known:
            early.append(message)
        else:
            crossing.hear(message, known, send)


if __name__ == "__main__":
    main()
