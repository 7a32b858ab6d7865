"""The public interface, and who may know whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mv2mae

SOURCE = Path(mv2mae.__file__).parent

KNOWN = {"config", "errors", "text"}
COMMON = {*KNOWN, "files", "seals", "records"}
MAY_IMPORT = {
    # single files, from the ground up
    "errors": set(),
    "text": set(),
    "files": {"errors"},
    "seals": {"errors"},
    "weights_check": {"config", "errors"},
    "ranks": set(),
    "devices": {"config", "errors"},
    "records": {"errors", "files", "seals"},
    "results": {"errors", "records"},
    "runs": {"config", "errors", "files", "ranks", "seals", "records"},
    "weights": {*COMMON, "model", "weights_check", "interop"},  # which reads what others wrote
    "settings": {"errors", "runs", "weights"},
    "notebook": {
        *COMMON,
        "devices",
        "model",
        "data",
        "recipes",
        "train",
        "evaluate",
        "visualize",
        "reports",
        "weights",
        "results",
        "runs",
        "settings",
    },
    # packages
    "config": {"errors"},
    "recipes": {"config", "errors"},
    "model": {*KNOWN, "devices"},
    "data": {*COMMON, "synthetic"},
    "synthetic": {*COMMON, "data"},
    "train": {*COMMON, "devices", "model", "data", "weights", "runs", "ranks"},
    "evaluate": {*COMMON, "results", "model", "data", "weights", "weights_check", "runs", "visualize"},
    "visualize": {*COMMON, "model", "data", "synthetic", "weights", "runs"},
    "studies": {*COMMON, "results", "model", "data", "synthetic", "weights", "runs", "evaluate", "visualize"},
    "viewer": {*COMMON, "model", "data", "weights", "runs", "visualize"},
    "reports": {*COMMON, "results", "data", "runs", "evaluate", "visualize", "studies"},
    "bench": {*COMMON, "devices", "model", "data", "train"},
    "interop": {*COMMON, "model", "data", "weights", "runs", "evaluate"},
    "tables": {
        *COMMON,
        "devices",
        "model",
        "data",
        "recipes",
        "train",
        "ranks",
        "runs",
        "evaluate",
        "studies",
        "visualize",
    },
    "demo": {
        *COMMON,
        "bench",
        "model",
        "data",
        "recipes",
        "train",
        "weights",
        "runs",
        "evaluate",
        "visualize",
        "reports",
    },
}
"""Whom each package and module may know. The command line may know all, and nobody knows it."""
NOT_BELOW = {
    "model": ("pytorch_lightning", "pandas", "av", "matplotlib"),
    "data": ("pytorch_lightning", "matplotlib"),
    "synthetic": ("pytorch_lightning", "matplotlib"),
}


def python_files(station):
    """Those of a package, or the module itself; none for a folder that holds something else."""
    file = SOURCE / f"{station}.py"
    return [file] if file.exists() else list((SOURCE / station).rglob("*.py"))


def imports(path):
    """Dotted names that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from [f"mv2mae.{alias.name}" for alias in node.names] if node.module == "mv2mae" else [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("station", MAY_IMPORT)
def test_the_arrows_between_stations(station):
    for path in python_files(station):
        for name in imports(path):
            if name.startswith("mv2mae.") and name != "mv2mae.__version__":
                other = name.split(".")[1]
                assert other == station or other in MAY_IMPORT[station], f"{path.name} imports {name}"
            assert name.split(".")[0] not in NOT_BELOW.get(station, ()), f"{path.name} imports {name}"


def test_what_lightning_does_not_promise_is_used_in_one_file():
    private = re.compile(r"(?:trainer|loop|connector|strategy|logger|module)\._[a-z]")
    files = [path for path in python_files("train") if path.name != "lightning.py"]
    assert not [path.name for path in files if private.search(path.read_text(encoding="utf-8"))]
    assert private.search((SOURCE / "train" / "lightning.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("station", [*MAY_IMPORT, "cli"])
def test_no_module_needs_itself_through_others(station):
    parts = {path: path.relative_to(SOURCE).with_suffix("").parts for path in python_files(station)}
    files = {".".join(("mv2mae", *names)): path for path, names in parts.items()}
    needs = {name: set(imports(path)) & set(files) for name, path in files.items()}
    while leaves := [name for name in needs if not needs[name] & set(needs)]:
        for name in leaves:
            del needs[name]
    assert not needs, f"a circle among {', '.join(sorted(needs))}"


def test_every_package_and_module_has_its_row():
    found = {path.stem for path in SOURCE.iterdir() if python_files(path.stem)}
    assert found - {"__init__"} == {*MAY_IMPORT, "cli"}


def test_the_documents_table_is_the_contract():
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = {}
    for names, allowed in re.findall(r"^\| (`.+`) \| (.+) \|$", text, flags=re.MULTILINE):
        words = re.sub(r" \(.+?\)", "", allowed).partition(":")[0].split(", ")
        known = {other for word in words for other in (COMMON if word == "base" else [word])}
        told |= {name.strip("`"): known - {"nothing of the project"} for name in names.split(", ")}
    assert told.pop("cli") == {"all; nobody imports it"}
    assert told == MAY_IMPORT


def test_the_public_names_are_there():
    assert all(getattr(mv2mae, name) is not None for name in mv2mae.__all__)
    assert dir(mv2mae) == sorted([*mv2mae.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mv2mae.nonsense


def test_importing_the_package_does_not_load_torch():
    code = "import sys, mv2mae; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


WITHOUT_POSIX = """
import os, pkgutil, signal, sys

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fork", "sched_getaffinity", "getuid", "geteuid", "killpg", "pread", "mkfifo", "setsid"):
    delattr(os, name)
import importlib, warnings
warnings.simplefilter("ignore")  # filelock says that its lock is a file then
import mv2mae
from mv2mae.data.store.prepare import prepare
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.video import read_frames
from mv2mae.errors import InputError

for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGCHLD", "SIGKILL"):
    delattr(signal, name)
for module in pkgutil.walk_packages(mv2mae.__path__, "mv2mae."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except InputError as error:  # an extra that is not installed
            assert "pip install" in str(error), error
write_manifest(read_manifest("sample").head(2), sys.argv[1] + "/m.csv")
stored = read_manifest(prepare(sys.argv[1] + "/m.csv", sys.argv[1], progress=False).manifest)
assert read_frames(stored["path"][0], [0.5]).ndim == 4
"""


def test_nothing_asks_for_what_windows_lacks(tmp_path):
    """Modules, system calls and signals that only POSIX has."""
    command = [sys.executable, "-c", WITHOUT_POSIX, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_has_a_docstring():
    for path in SOURCE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_file_grows_beyond_a_few_screens():
    long = {path.name: n for path in SOURCE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}
