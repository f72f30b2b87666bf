"""One version for all distributions, and a constraints file that pins everything they and the tests need."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .source import ROOT, Module, shipped

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+")


def projects() -> dict[str, dict[str, Any]]:
    """Distribution name -> its whole pyproject."""
    paths = [*sorted(ROOT.glob("packages/*/pyproject.toml")), *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    read = [tomllib.loads(path.read_text("utf-8")) for path in (ROOT / "pyproject.toml", *paths)]
    return {project["project"]["name"]: project for project in read}


def requirements(project: Mapping[str, Any]) -> list[Requirement]:
    """What a distribution needs, its extras and development groups included."""
    lines: list[str] = [*project["project"].get("dependencies", ())]
    for group in project["project"].get("optional-dependencies", {}).values():
        lines += group
    for group in project.get("dependency-groups", {}).values():
        lines += [line for line in group if isinstance(line, str)]
    return [Requirement(line) for line in lines]


def out_of_step(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Versions that differ, and dependencies on each other that are not pinned to that version."""
    versions = {name: project["project"]["version"] for name, project in found.items()}
    if len(set(versions.values())) != 1:
        yield f"versions differ: {versions}"
    for name, project in found.items():
        for requirement in requirements(project):
            if (
                requirement.name in versions
                and str(requirement.specifier) != f"=={versions[requirement.name]}"
            ):
                yield f"{name} needs {requirement}, not pinned to {versions[requirement.name]}"


def other_versions(module: Module, version: str) -> Iterator[str]:
    """A `__version__` that is not the distribution's."""
    assigned = (node for node in module.tree.body if isinstance(node, ast.Assign))
    for node in assigned:
        is_version = ast.unparse(node.targets[0]) == "__version__"
        if is_version and ast.unparse(node.value) != repr(version):
            yield f"{module.name}.__version__ is {ast.unparse(node.value)}, not {version}"


def loose(lines: list[str], needed: list[Requirement]) -> Iterator[str]:
    """Lines of a constraints file that are no pins, and needs that the pins do not meet."""
    yield from (f"{line!r} is not NAME==VERSION" for line in lines if not PIN.fullmatch(line))
    pins = dict(line.split("==") for line in lines if PIN.fullmatch(line))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in needed:
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{requirement.name} is not pinned"
        elif not requirement.specifier.contains(version):
            yield f"{requirement} does not allow the pinned {version}"


def test_all_distributions_have_one_version_and_pin_each_other_to_it() -> None:
    assert list(out_of_step(projects())) == []


def test_every_version_in_the_code_is_that_of_the_distributions() -> None:
    version = projects()["hopward"]["project"]["version"]
    assert [found for module in shipped() for found in other_versions(module, version)] == []


def test_the_constraints_file_pins_every_dependency() -> None:
    path = ROOT / "constraints.txt"
    found = projects()
    needed = [one for project in found.values() for one in requirements(project) if one.name not in found]
    assert list(loose(path.read_text("utf-8").splitlines(), needed)) == []


def test_the_changelog_has_a_heading_for_this_version() -> None:
    path = ROOT / "CHANGELOG.md"
    version = projects()["hopward"]["project"]["version"]
    assert re.search(rf"^## \[?{re.escape(version)}\b", path.read_text("utf-8"), re.MULTILINE)


def project(version: str, *dependencies: str) -> dict[str, Any]:
    return {"project": {"version": version, "dependencies": list(dependencies)}}


def test_a_version_out_of_step_is_found() -> None:
    assert list(out_of_step({"a": project("1.0"), "b": project("1.1")}))
    assert list(out_of_step({"a": project("1.0"), "b": project("1.0", "a>=1.0")}))
    assert list(out_of_step({"a": project("1.0"), "b": project("1.0", "a")}))
    assert list(out_of_step({"a": project("1.0"), "b": project("1.0", "a==1.0", "x>=2")})) == []


def test_a_version_in_the_code_that_stayed_behind_is_found() -> None:
    assert list(other_versions(Module("hopward", "__version__ = '0.1.0'"), "0.2.0"))
    assert list(other_versions(Module("hopward", "__version__ = '0.2.0'"), "0.2.0")) == []


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["click"],
        ["click>=8.3"],
        ["-e packages/hopward"],
        ["click==8.2"],
        ["click @ file:///x", "click==8.3"],
    ],
    ids=str,
)
def test_a_constraints_file_that_leaves_something_open_is_found(lines: list[str]) -> None:
    assert list(loose(lines, [Requirement("click>=8.3")]))


def test_a_constraints_file_of_plain_pins_is_accepted() -> None:
    needed = [Requirement("click>=8.3"), Requirement("sqlite-utils[x]>=4")]
    assert list(loose(["click==8.3.1", "sqlite_utils==4.0"], needed)) == []
