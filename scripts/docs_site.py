"""Hooks of the documentation site: pages made from the code, and links to files outside docs/."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import mv2mae
from mv2mae import config as settings
from mv2mae.cli.main import GROUPS, VERBS, _parser

ROOT = Path(__file__).parents[1]
COPIED = {
    "../benchmarks/RESULTS.md": "speed.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changes.md",
    "../examples": "examples.md",
    "../src/mv2mae/weights/second-view.md": "second-view-card.md",
}
"""What pages in docs/ link to outside of it, and the name of its page on the site."""
MORE_SETTINGS = ("mv2mae.config.store.StoreConfig", "mv2mae.config.synthetic.SynthConfig")
MORE_PYTHON = {
    "Data": (
        "mv2mae.data.indexing.index",
        "mv2mae.data.check.check.check_manifest",
        "mv2mae.data.sync.sync.sync_manifest",
        "mv2mae.data.sync.sync.write_synced",
        "mv2mae.data.store.prepare.prepare",
        "mv2mae.data.video.read_frames",
    ),
    "Features and tests": (
        "mv2mae.studies.features.frozen_encoder",
        "mv2mae.studies.features.extract_features",
        "mv2mae.studies.probes.measure.probe",
    ),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in docs/."""
    pages = {name: _outside(source) for source, name in COPIED.items()}
    pages["examples.md"] += _scripts()
    pages["reference/commands.md"] = _commands()
    pages["reference/settings.md"] = _settings()
    pages["reference/python.md"] = _python()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Links to files outside docs/ become links to their pages, and files' names the titles of their pages.

    Raises:
        KeyError: a file outside docs/ that has no page.
    """
    linked = re.sub(r"\]\((\.\./[^)\s#]+)", lambda match: f"]({COPIED[match[1].rstrip('/')]}", markdown)
    if "/" in page.file.src_uri:
        return linked
    titles = {file: title for section in config.nav or [] for title, file in _leaves(section)}

    def titled(match: re.Match[str]) -> str:
        return f"[{titles[match[1]]}]({match[1]}{match[2] or ''})" if match[1] in titles else match[0]

    linked = re.sub(r"(?<!\[)`docs/([\w-]+\.md)`", r"[`\1`](\1)", linked)
    return re.sub(r"\[`?(?:docs/)?[\w-]+\.md`?\]\(([\w-]+\.md)(#[^)\s]*)?\)", titled, linked)


def _leaves(section: Any) -> Iterator[tuple[str, str]]:
    """Titles and files of a part of the navigation."""
    for title, inside in section.items():
        if isinstance(inside, str):
            yield title, inside
        else:
            for part in inside:
                yield from _leaves(part)


def _outside(source: str) -> str:
    """A page from outside docs/, its links as if it lay in docs/; those to single files become names."""
    file = (ROOT / "docs" / source).resolve()
    file = file / "README.md" if file.is_dir() else file
    folder = posixpath.join("..", file.parent.relative_to(ROOT).as_posix())

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target.startswith("../docs/"):
            return f"[{match[1]}]({target.removeprefix('../docs/')}{match[3] or ''})"
        return f"[{match[1]}]({target})" if target in COPIED else f"`{match[1].strip('`')}`"

    return re.sub(r"\[([^\]]+)\]\(((?!https?:|#)[^)\s#]+)(#[^)\s]*)?\)", moved, file.read_text(encoding="utf-8"))


def _scripts() -> str:
    """The example scripts themselves."""
    files = sorted((ROOT / "examples").glob("*.py"))
    return "".join(f"\n## {file.name}\n\n```python\n{file.read_text(encoding='utf-8')}```\n" for file in files)


def _commands() -> str:
    """What each command says with --help."""
    parts = ["# Commands\n\nWhat `mv2mae VERB --help` says.\n"]
    for heading, names in GROUPS.items():
        parts.append(f"\n## {heading[0].upper()}{heading[1:]}\n")
        for name in names:
            verb = VERBS[name]
            shown = re.sub(r"\x1b\[[0-9;]*m", "", _parser(name).format_help()).strip()
            summary = f"{verb.summary[0].upper()}{verb.summary[1:]}."
            parts.append(f"\n### {name}\n\n{summary}\n\n```text\n{shown}\n```\n")
    return "".join(parts)


def _settings() -> str:
    """Every configuration, a heading each, its fields from the code."""
    names = [f"mv2mae.config.{name}" for name in settings.__all__ if name.endswith("Config")]
    intro = "# Settings\n\nFields of the configurations; on the command line and in recipes by their dotted names.\n"
    return intro + "".join(f"\n::: {name}\n" for name in (*names, *MORE_SETTINGS))


def _python() -> str:
    """The public names, and what else pages show; configurations have a page of their own."""
    intro = "# Python\n\nThe names of `import mv2mae`; its configurations stand under [Settings](settings.md).\n"
    order = (
        "pretrain",
        "finetune",
        "evaluate_run",
        "load_encoder",
        "load_classifier",
        "read_manifest",
        "motion_weights",
    )
    names = [*order, *(name for name in mv2mae._HOME if name not in order and not name.endswith("Config"))]
    public = "".join(f"\n::: mv2mae.{mv2mae._HOME[name]}.{name}\n" for name in names)
    more = [f"\n## {title}\n" + "".join(f"\n::: {name}\n" for name in names) for title, names in MORE_PYTHON.items()]
    return intro + public + "".join(more)
