"""Convergence studies and the error budget, both made of many runs, and the cache of these runs."""

# names of the studies in `catalogue.STUDIES`, so that the command line need not import them
NAMES = ("width", "lambda", "activations", "samples", "step", "mesh", "time-step", "gamma",
         "two-timescale", "decay", "dimension")  # fmt: skip
