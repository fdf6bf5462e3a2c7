"""Many runs: convergence studies, the error budget, and the cache that keeps what is done."""

# of `catalogue.STUDIES`, here so that the command line can name them without loading them
NAMES = ("width", "lambda", "limit", "samples", "step", "mesh", "time-step", "gamma",
         "two-timescale", "decay")  # fmt: skip
