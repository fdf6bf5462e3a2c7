#!/usr/bin/env bash
# Any command of uf-diffusion on a cluster, one MPI rank a core.
#   usage: sbatch [--nodes=N] [--time=H:M:S] scripts/slurm.sh study width --out runs/study-width
# A study that meets its time limit goes on when the same line is submitted again; so does a single
# run with: sbatch scripts/slurm.sh resume RUN_DIR
#SBATCH --job-name=uf-diffusion
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --output=uf-diffusion-%j.log
# two minutes before the limit single runs write a checkpoint and end
#SBATCH --signal=TERM@120
set -euo pipefail
if (($# == 0)); then
  sed -n 's/^# *usage: /usage: /p' "$0" >&2
  exit 2
fi
cd "${SLURM_SUBMIT_DIR:-.}"
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
python=${PYTHON:-.venv/bin/python}
# the MPI of the wheels is MPICH: PMI-2 (see `srun --mpi=list`); another MPI needs another word here
exec srun --mpi="${SRUN_MPI:-pmi2}" "$python" -m uf_diffusion "$@"
