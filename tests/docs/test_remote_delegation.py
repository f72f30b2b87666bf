"""Work handed on over OAuth, with real agents, proxy and server, where only the authority can sign."""

from dataclasses import replace
from pathlib import Path

import pytest

from .markdown import page
from .reader import reading

GUIDE = page("docs/guides/delegate-over-oauth.md")
REMOTE = """[authority]
mode = "remote"
issuer = "http://127.0.0.1:8700"
token_endpoint = "http://127.0.0.1:8700/token"

"""
FIRST_TABLE = "[agents.supervisor]\n"


def test_the_guide_holds_with_a_separate_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = replace(GUIDE, text=GUIDE.text.replace(FIRST_TABLE, REMOTE + FIRST_TABLE))
    with reading(shown, tmp_path) as reader:
        for block in shown.blocks:
            reader.follow(block)
    assert 'mode = "remote"' in (tmp_path / "hopward.toml").read_text()
