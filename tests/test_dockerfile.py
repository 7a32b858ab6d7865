"""The Dockerfile against what it takes: files that exist and are sent, extras, versions, the command."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def said(word: str) -> list[str]:
    """What follows an instruction, at each of its places."""
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def test_what_is_copied_is_there_and_sent() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    sent = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copied = [name for line in said("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert "pyproject.toml" in copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, rule) for rule in sent), f"{name} is kept back by .dockerignore"


def test_the_wheel_is_built_from_all_that_it_names() -> None:
    copied = {name for line in said("COPY") for name in line.split()[:-1]}
    assert {PROJECT["readme"], "LICENSE", "src"} <= copied


def test_python_extras_and_command_are_the_packages() -> None:
    low = re.search(r">=3\.(\d+)", PROJECT["requires-python"])
    versions = [re.match(r"python:3\.(\d+)-slim", line) for line in said("FROM")]
    assert low
    assert len(versions) == 2
    assert {version[1] for version in versions if version and int(version[1]) >= int(low[1])} == {"12"}
    (extras,) = (line.removeprefix("EXTRAS=") for line in said("ARG") if line.startswith("EXTRAS="))
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    assert said("ENTRYPOINT") == ['["mv2mae"]']
    assert "mv2mae" in PROJECT["scripts"]


def test_torch_alone_is_not_held_to_the_tested_version() -> None:
    (install,) = (line for line in said("RUN") if "constraint" in line)
    pattern = re.search(r"grep -v '([^']+)'", install)
    assert pattern
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in constraints if re.match(pattern[1], line)] == [
        line for line in constraints if line.partition("==")[0] == "torch"
    ]
