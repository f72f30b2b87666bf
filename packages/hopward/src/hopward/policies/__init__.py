"""Policy files on disk: reading the folder, reloading it, running its test cases.

folder    the texts of `*.cedar`, and a folder that would be misread refused
store     `PolicyStore`: the engine in force, replaced whole when the files change
logged    `LoggedPolicies`: every change of the set stands in the decision log first
cases     `tests/*.toml`: what the policies must answer
"""

from hopward.policies.cases import Case, CaseFacts, CaseHop, CaseResult, WrittenCase, read_cases, run_cases
from hopward.policies.folder import read_folder
from hopward.policies.logged import LoggedPolicies
from hopward.policies.store import PolicyStore, load_engine

__all__ = [
    "Case",
    "CaseFacts",
    "CaseHop",
    "CaseResult",
    "LoggedPolicies",
    "PolicyStore",
    "WrittenCase",
    "load_engine",
    "read_cases",
    "read_folder",
    "run_cases",
]
