#!/usr/bin/env bash
# Tests what touches dependencies with the newest versions that pyproject.toml allows: what a plain `pip install`
# brings today. torch stays the build of .venv, since PyPI's for Linux is gigabytes of CUDA. Newer versions of PyAV
# need a newer Python than ours may be: what needs no torch is tested on the newest Python that is at hand, too.
set -euo pipefail
cd "$(dirname "$0")/.."
install() { "$1" -m pip --disable-pip-version-check install --quiet --upgrade --upgrade-strategy eager "${@:2}"; }

here=.venv/newest
[ -x $here/bin/python ] || .venv/bin/python -m venv $here
.venv/bin/python -c 'import torch; print("torch==" + torch.__version__.partition("+")[0])' >$here/torch.txt
install $here/bin/python --constraint $here/torch.txt --editable ".[viewer]" pytest pytest-timeout beartype fsspec hypothesis
echo "newest versions on $($here/bin/python --version): $($here/bin/python -m pip list --format=freeze |
  grep -iE '^(av|numpy|pandas|pyarrow|pillow|jsonargparse|matplotlib|pytorch-lightning|torch)=' | tr '\n' ' ')"
$here/bin/python -m pytest -q tests/data/test_media.py tests/data/test_damage.py tests/data/test_manifest.py tests/data/test_tables.py \
  tests/data/store/test_remote.py tests/visualize/test_outputs.py tests/test_run_files.py tests/test_package.py

other=
for version in 3.14 3.13 3.12; do
  for python in "$(command -v python$version || true)" "$HOME"/.pyenv/versions/$version.*/bin/python; do
    if [ -z "$other" ] && [ -x "$python" ] && "$python" -c 'import venv, ensurepip' 2>/dev/null; then other=$python; fi
  done
done
if [ -z "$other" ]; then
  echo "no Python from 3.12 on is at hand: versions of PyAV that need one are not tested"
  exit
fi
[ -x $here/other/bin/python ] || "$other" -m venv $here/other
install $here/other/bin/python "$(grep -m1 -oE '"av>[^"]+' pyproject.toml | tr -d '"')" numpy jaxtyping pytest pytest-timeout
echo "newest PyAV on $($here/other/bin/python --version): $($here/other/bin/python -c 'import av; print(av.__version__)')"
PYTHONPATH=src $here/other/bin/python -m pytest -q --noconftest tests/data/test_media.py
