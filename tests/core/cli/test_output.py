"""How values stand on a terminal and in a pipe."""

import re
import sys

import pytest

from hopward.cli.output import show_fields

LONG = "n" * 100
FIELDS = [("amount", "45"), (LONG, "v" * 90), ("\x1b[2Jnote", "late"), ("left out", "")]


def test_on_a_terminal_no_name_and_no_value_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("COLUMNS", "60"), ("NO_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show_fields(FIELDS)
    printed = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert "\u2026" not in printed
    assert (printed.count(LONG), printed.count("v")) == (1, 90)
    assert max(len(line) for line in printed.splitlines() if line != LONG) <= 60


def test_in_a_pipe_a_long_name_moves_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(FIELDS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["amount       45", LONG, " " * 13 + "v" * 90, "\\x1b[2Jnote  late"]


def test_without_long_names_values_stand_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields([("a", "1"), ("bcd", "2")])
    assert capsys.readouterr().out == "a    1\nbcd  2\n"
