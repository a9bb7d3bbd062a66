#!/bin/sh
# Linear + LIF of spyx (JAX), in an environment of its own: benchmarks/spyx.sh 512
set -e
here=$(cd "$(dirname "$0")" && pwd)
venv=${SPYX_VENV:-$here/.spyx}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet spyx==1.0.0 'jax[cpu]==0.10.2'
fi
exec "$venv/bin/python" "$here/bench_spyx.py" "$@"
