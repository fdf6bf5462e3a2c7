"""Print the estimated errors of densities next to the true ones, and the time that estimates take.

``python scripts/benchmarks/errors.py [WORD]`` takes the problems whose names contain WORD. Each
entry is estimate / true error at the snapshot where it is furthest from 1. The true error is that
of the function, at 40 000 points, against a solution on a finer mesh with small steps. Errors of
the mesh below a twentieth of those of the time steps are not counted (nan), and vice versa. The
exit status is 1 if a ratio is outside 1/5 ... 5.

``python scripts/benchmarks/errors.py --cost`` prints the time that the estimates take, as a
fraction of that of the solution, where this takes longer than 2 seconds.
"""

from mpi4py import MPI

import sys

import numpy as np
from true_errors import CASES, COSTLY, measured, timed

assert MPI.COMM_WORLD.size == 1
if sys.argv[1:] == ["--cost"]:
    print(f"{'problem':30} {'seconds':>8} {'estimate':>9}")
    for name, case in COSTLY.items():
        seconds, more = timed(case)
        print(f"{name:30} {seconds:8.2f} {more / seconds:9.0%}", flush=True)
    raise SystemExit
far = 0
print(f"{'estimate / true error':30} {'mesh L1':>9} {'max':>7} {'time L1':>9} {'max':>7} "
      f"{'true mesh L1':>13} {'max':>9} {'seconds':>8} {'estimate':>9}")  # fmt: skip
for name, case in CASES.items():
    if not all(word in name for word in sys.argv[1:]):
        continue
    found = measured(case)
    m, most, t, late = found.worst
    far += sum(bool(np.abs(np.log(r)) > np.log(5)) for r in found.worst)
    error, largest = found.true[0, -1], found.true[1, -1]
    print(f"{name:30} {m:9.2f} {most:7.2f} {t:9.2f} {late:7.2f} {error:13.1e} {largest:9.1e} "
          f"{found.seconds:8.2f} {found.estimating / found.seconds:8.0%}", flush=True)  # fmt: skip
print(f"{far} ratio(s) outside 1/5 ... 5")
raise SystemExit(far > 0)
