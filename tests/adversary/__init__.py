"""What an attacker does first, each with the nearest honest work beside it, through the real proxy.

`project/` is a small firm's configuration, `office.py` its MCP servers, in a process of their own. A scenario
(`scenario.py`) is data: what an injected agent does, what must stop it and with which reason, the benign
twin, and the one defence without which the attack succeeds. `attacks.py` lists them, a module for each group;
`stage.py` is where they are played; `page.py` writes docs/security/adversary.md.
"""
