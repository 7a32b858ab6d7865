#!/usr/bin/env bash
# Everything that is claimed for a GPU, measured in one go. See README.md beside this file.
#
#   scripts/gpu/run.sh [--tiny] [PART ...]
#
# PART: a tests, b steps, c rates, d run; all of them, in this order, if none is named. Figures go to $OUT (default
# runs/gpu) as they are made; each part has a time limit of its own ($A_SECONDS ... $D_SECONDS). --tiny rehearses on the CPU.
set -u
cd "$(dirname "$0")/../.."
export OUT=${OUT:-runs/gpu} PYTHONUNBUFFERED=1
mkdir -p "$OUT"
# wheels that were carried, see README.md
if compgen -G ".whl/*.whl" >/dev/null && [ ! -e /tmp/mv2mae-site/.carried ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/mv2mae-site .whl/*.whl || exit 1
  touch /tmp/mv2mae-site/.carried
fi
if ! python3 -c 'import importlib.metadata as m; m.version("mv2mae")' 2>/dev/null; then # a run notes its versions
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
  mkdir -p "/tmp/mv2mae-site/mv2mae-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: mv2mae\nVersion: %s\n' "$version" >"/tmp/mv2mae-site/mv2mae-$version.dist-info/METADATA"
fi
export PYTHONPATH=$PWD/src:$PWD:/tmp/mv2mae-site${PYTHONPATH:+:$PYTHONPATH}

tiny=()
if [ "${1:-}" = --tiny ]; then
  tiny=(--tiny)
  shift
fi
[ $# -gt 0 ] || set -- a b c d

part() { # NAME SECONDS COMMAND ...
  local name=$1 seconds=$2 began=$SECONDS
  shift 2
  timeout --kill-after=10 "$seconds" "$@" 2>&1 | tee -a "$OUT/log.txt"
  local status=${PIPESTATUS[0]}
  [ "$status" -eq 0 ] || failed="$failed $name($status)"
  echo "part $name: $((SECONDS - began)) s of $seconds, exit $status" | tee -a "$OUT/log.txt"
}

failed=""
part check 60 python3 scripts/gpu/machine.py ${tiny[@]+"${tiny[@]}"}
[ -z "$failed" ] || exit 1
for name in "$@"; do
  case $name in
  a)
    if [ ${#tiny[@]} -gt 0 ]; then
      part a "${A_SECONDS:-60}" python3 -m pytest -q -p no:cacheprovider --durations=0 --junitxml="$OUT/a-tests.xml" \
        tests/gpu/test_gpu_math.py -m "not gpu" -k masks
    else
      part a "${A_SECONDS:-150}" python3 -m pytest -q -p no:cacheprovider --junitxml="$OUT/a-tests.xml" -m gpu \
        $(python3 -c 'import xdist' 2>/dev/null && printf %s -n6) tests/gpu tests/synthetic tests/train/test_randaugment.py \
        tests/train/test_devices.py tests/data/test_stream.py tests/data/test_bank.py
    fi
    ;;
  b) part b "${B_SECONDS:-240}" python3 scripts/gpu/steps.py ${tiny[@]+"${tiny[@]}"} ;;
  c) part c "${C_SECONDS:-90}" python3 scripts/gpu/rates.py ${tiny[@]+"${tiny[@]}"} ;;
  d) part d "${D_SECONDS:-450}" python3 scripts/gpu/drawn_run.py --seconds "$((${D_SECONDS:-450} - 30))" ${tiny[@]+"${tiny[@]}"} ;;
  *) echo "part $name is unknown; choose of a b c d" >&2 && exit 2 ;;
  esac
done
[ -z "$failed" ] || echo "not done:$failed" | tee -a "$OUT/log.txt"
[ -z "$failed" ]
