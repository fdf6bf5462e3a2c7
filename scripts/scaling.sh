#!/usr/bin/env bash
# Strong scaling of the PDE solver: time of the first steps at 1e6 degrees of freedom on 1, 2, 4, ...
# ranks.   usage: scripts/scaling.sh [S2|T2|T3] [MAX_RANKS] [STEPS] [SIZE]
# SIZE 0, 1, 2 are smaller meshes.
set -euo pipefail
cd "$(dirname "$0")/.."
manifold=${1:-T2} most=${2:-2} steps=${3:-8} size=${4:-3}
bin=${BIN:-.venv/bin}
export OMP_NUM_THREADS=1
first=
printf '%6s %10s %9s %11s\n' ranks seconds speed-up efficiency
for ((ranks = 1; ranks <= most; ranks *= 2)); do
  seconds=$("$bin/mpiexec" -n "$ranks" "$bin/python" scripts/benchmarks/diffusion.py \
    --worker "$manifold" "$size" "$steps" 10 | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["seconds"])')
  first=${first:-$seconds}
  awk -v r="$ranks" -v s="$seconds" -v f="$first" \
    'BEGIN { printf "%6d %10.2f %9.2f %11.2f\n", r, s, f / s, f / s / r }'
done
