"""The pages lead where they say."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from test_package import MAY_IMPORT

from mv2mae.cli import VERBS
from mv2mae.cli.argv import check_known, normalised
from mv2mae.cli.main import _parser

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]
FILES = re.compile(r"`((?:src/mv2mae|docs|tests|benchmarks|scripts|examples)/[\w/.-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    missing += [name for name in FILES.findall(text) if not (ROOT / name).exists()]
    assert missing == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in ROOT.glob("docs/*.md") if f"]({page.name})" not in index and page.stem != "README"
    ] == []


def test_every_page_is_on_the_site():
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in ROOT.glob("docs/*.md") if f": {page.name}\n" not in site] == []


def test_the_contract_is_told_as_it_is_held():
    told = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Who may import")[2]
    assert [name for name in MAY_IMPORT if f"`{name}`" not in told] == []


def printed_commands(text):
    """Commands in code spans and in lines of their own, words without comments, continued lines joined."""
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^\s*(mv2mae [a-z].*)$", text, re.MULTILINE)
    for command in [*re.findall(r"`(mv2mae [^`]+)`", text), *lines]:
        words = shlex.split(" ".join(command.split()), comments=True)[1:]
        verb = next((verb for verb in (" ".join(words[:2]), words[0]) if verb in VERBS), "")
        if verb:
            yield verb, words[len(verb.split()) :]


def test_printed_commands_have_options_that_there_are():
    parser = cache(_parser)
    found = [pair for page in PAGES for pair in printed_commands(page.read_text(encoding="utf-8"))]
    for verb, words in found:
        check_known(parser(verb), normalised(parser(verb), words))
    assert len(found) > 150
