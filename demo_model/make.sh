#!/bin/sh
# Makes the demo model again from nothing: train, export, measure. Takes about an hour on 2 cores.
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
"$python" -m demo_model.train
"$python" -m demo_model.export
"$python" -m demo_model.measure
