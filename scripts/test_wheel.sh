#!/usr/bin/env bash
# Builds sdist and wheel into dist/, the wheel from the sdist, and tries the wheel in an environment of its own, away from
# this folder: what is missing in it (a recipe, a page, the sample set) shows here and not with a user.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD here=$PWD/.venv/wheel
install() { "$1" -m pip --disable-pip-version-check install --quiet "${@:2}"; }

install .venv/bin/python build
rm -rf dist build
.venv/bin/python -m build --outdir dist . >.venv/build.log 2>&1 || { tail -20 .venv/build.log; exit 1; }
ls -l dist

[ -x "$here/bin/python" ] || .venv/bin/python -m venv "$here"
install "$here/bin/python" --constraint constraints.txt torch  # the build that is at hand, not gigabytes of CUDA
install "$here/bin/python" --constraint constraints.txt --force-reinstall --no-deps dist/*.whl
install "$here/bin/python" --constraint constraints.txt dist/*.whl

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset PYTHONPATH
export PATH=$here/bin:$PATH
mv2mae --version | grep -F "$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")"
mv2mae --help >/dev/null
python -c 'import mv2mae; assert "site-packages" in mv2mae.__file__, mv2mae.__file__; assert len(mv2mae.read_manifest("sample")) == 600'
mv2mae synth made --num_groups 4 --num_frames 24 --size 64
mv2mae pretrain --recipe sample-pretrain --data made/manifest.csv --data.split "" --data.held_out_groups 0 --optim.steps 3 \
  --optim.warmup_steps 1 --optim.batch_size 4 --run run
mv2mae extract run --data made/manifest.csv --out features.parquet
test -s run/report.html
test -s features.parquet
mv2mae demo --minutes 0.1 --out demo  # the short form at its fewest steps
test -s demo/report.html
echo "the wheel works on its own"
