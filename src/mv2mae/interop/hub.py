"""Weights and robot data by their name on the Hugging Face hub: `hf:OWNER/NAME`, `hf:OWNER/NAME@REVISION`, weights also
`hf:OWNER/NAME/FILE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mv2mae.errors import InputError
from mv2mae.interop.files import INDEX_NAME, first_sentence, part_names
from mv2mae.weights import HUB, WEIGHTS_NAMES


def fetch(source: str) -> Path:
    """The weights file of a repository on the hub, with what belongs to it beside it.

    What was fetched before is taken from the hub's own cache, without a network.

    Raises:
        InputError: huggingface_hub is not installed, or there is no such repository or file, or no network.
    """
    hub, (repository, revision, file) = _hub(), _split(source)
    if file:
        return _download(hub, source, repository, file, revision)
    unreached = False
    for name in ("config.json", *WEIGHTS_NAMES):
        try:
            path = Path(hub.hf_hub_download(repository, name, revision=revision))
        except hub.errors.EntryNotFoundError as error:
            unreached = unreached or isinstance(error, hub.errors.LocalEntryNotFoundError)
            continue
        except Exception as error:  # its errors come from several libraries
            raise InputError(f"{source}: {first_sentence(error)}") from error
        if name == INDEX_NAME:
            for part in part_names(path):
                _download(hub, source, repository, part, revision)
        if name in WEIGHTS_NAMES:
            return path
    if unreached:
        raise InputError(f"{source}: the hub cannot be reached, and no weights were fetched from there before")
    raise InputError(f"{source}: no weights in this repository (looked for {', '.join(WEIGHTS_NAMES)})")


def fetch_dataset(source: str, into: Path) -> Path:
    """Bring a LeRobotDataset from the hub: tables and videos, into a folder of its name below `into`.

    Files that are there already are not brought again.

    Raises:
        InputError: huggingface_hub is not installed, or there is no such data set, or no network.
    """
    hub, (repository, revision, file) = _hub(), _split(source)
    if file:
        raise InputError(f"{source}: expected hf:OWNER/NAME, perhaps with @REVISION at its end")
    folder = into / repository.partition("/")[2]
    wanted = ["meta/*", "data/*", "videos/*"]
    try:
        hub.snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=wanted, local_dir=folder
        )
    except Exception as error:  # its errors come from several libraries
        raise InputError(f"{source}: {first_sentence(error)}") from error
    return folder


def _split(source: str) -> tuple[str, str | None, str]:
    """Repository, revision and file."""
    name, _, revision = source.removeprefix(HUB).partition("@")
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository:
        raise InputError(f"{source}: expected hf:OWNER/NAME, perhaps with @REVISION or /FILE at its end")
    return f"{owner}/{repository}", revision or None, file


def _download(hub: Any, source: str, repository: str, file: str, revision: str | None) -> Path:
    try:
        return Path(hub.hf_hub_download(repository, file, revision=revision))
    except Exception as error:
        raise InputError(f"{source}: {first_sentence(error)}") from error


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError("names on the hub need huggingface_hub; pip install 'mv2mae[hub]'") from error
    return huggingface_hub
