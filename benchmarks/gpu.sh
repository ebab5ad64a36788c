#!/usr/bin/env bash
# Run `python -m benchmarks.gpu` on a machine that has a GPU and PyTorch, but perhaps no network.
#
#   bash benchmarks/gpu.sh collect     with a network: fetch what such a machine lacks into the folder .whl
#   bash benchmarks/gpu.sh [...]       on it, beside .whl: install into a temporary folder and run; all arguments go on
#
# BIONETS_DATA names a folder that has MNIST, for the commands that need it; TARGET, for collect, the other machine's Python.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ "${1:-}" = collect ]; then
  locked() { grep -E "^($1)==" requirements.lock; }
  # Pure Python; antlr4 comes as source.
  "$python" -m pip wheel -q --no-deps -w .whl snntorch==1.0.0 spikingjelly==2.0.0 loguru==0.7.3 tracetorch==0.15.0 \
    $(locked 'hydra-core|hydra_zen|omegaconf|antlr4-python3-runtime|pooch|platformdirs|pydantic|annotated-types|typing-inspection|typing_extensions|filelock')
  # Compiled, for the other machine's Python.
  exec "$python" -m pip download -q --no-deps --only-binary=:all: --python-version "${TARGET:-3.12}" \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl $(locked 'pydantic_core')
fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G '.whl/*.whl' > /dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
export PYTHONPATH="$site:$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
"$python" train.py --cfg job > /dev/null  # every import of a command, before any time is taken
"$python" -m benchmarks.gpu "$@"
