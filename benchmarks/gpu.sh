#!/usr/bin/env bash
# Run `python -m benchmarks.gpu` on a machine that has a GPU and PyTorch, but perhaps no network.
#
#   bash benchmarks/gpu.sh collect     with a network: fetch what such a machine lacks into the folder .whl
#   bash benchmarks/gpu.sh [...]       on it, beside .whl: install into a temporary folder and run; all arguments go on
#
# BIONETS_DATA names a folder that has MNIST, for the commands that need it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ "${1:-}" = collect ]; then
  # All of these are pure Python; antlr4 comes as source.
  exec "$python" -m pip wheel -q --no-deps -w .whl hydra-core==1.3.8 omegaconf==2.3.1 antlr4-python3-runtime==4.9.3 \
    pooch==1.9.0 platformdirs snntorch==1.0.0 spikingjelly==2.0.0 loguru==0.7.3 tracetorch==0.15.0
fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G '.whl/*.whl' > /dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
export PYTHONPATH="$site:$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
"$python" -m benchmarks.gpu "$@"
