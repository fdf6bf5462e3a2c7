#!/usr/bin/env bash
# The wheel in clean environments, without and with the PDE side; needs the network and some minutes.
#   usage: scripts/check_install.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$("${1:-python3}" -c 'import sys; print(sys.executable)')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
small=(--set problem.t_end=0.0625 --set network.width=16 --set network.samples=64
  --set network.teacher_width=64 --set diffusion.cells=64 --set diffusion.snapshots=3)

new_environment() { # NAME REQUIREMENT...
  "$python" -m venv "$work/$1"
  "$work/$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
}

seconds() { printf '%5d s  %s\n' "$SECONDS" "$1"; }

new_environment build build
mkdir "$work/source"
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from - \
  --ignore-failed-read | tar -x -C "$work/source"
"$work/build/bin/python" -m build --wheel --outdir "$work" "$work/source" >"$work/build.log" \
  || { cat "$work/build.log"; exit 1; }
wheel=$(echo "$work"/*.whl)
seconds "built $(basename "$wheel")"
cd "$work" # where the checkout is out of reach

new_environment plain "$wheel"
seconds "installed without [fem]"
plain/bin/uf-diffusion train relu-circle "${small[@]}" --out plain-run
if plain/bin/uf-diffusion solve relu-circle "${small[@]}" --out plain-solve 2>refusal; then
  echo "solve succeeded without DOLFINx" >&2
  exit 1
fi
cat refusal
[[ $(wc -l <refusal) == 1 ]] && grep -q "needs DOLFINx: install it" refusal
for command in "compare" "study mesh" "figures --quick" "mesh make a.off" "export plain-run a.vtu --network" "deep digits"; do
  # shellcheck disable=SC2086 # several words
  if plain/bin/uf-diffusion $command >/dev/null 2>refusal; then
    echo "$command succeeded without the extra" >&2
    exit 1
  fi
  [[ $(grep -cv '^warning ' refusal) == 1 ]] && grep -q "install it with" refusal \
    || { echo "$command: $(cat refusal)" >&2; exit 1; }
done
mpiexec=$(PATH=/nowhere plain/bin/python -m uf_diffusion info | sed -n 's/^mpiexec *//p')
[[ $mpiexec == none || -x $mpiexec ]]
seconds "trains, and says what the other commands need"

new_environment whole "$wheel[fem]"
seconds "installed with [fem]"
whole/bin/uf-diffusion compare relu-circle "${small[@]}" --out whole-run
whole/bin/mpiexec -n 2 whole/bin/uf-diffusion solve sphere "${small[@]}" --out whole-ranks
seconds "compares, and solves on two ranks"
