"""Every study, made so small that it takes a moment."""

import numpy as np

SOON = ("problem.t_end=0.125",)
SMALL = ("network.width=32", "network.teacher_width=64", "diffusion.cells=64", *SOON)

# study: values, seeds, settings, and how far the orders of so small a study may be off
TINY = {
    "width": (
        "16,25",
        2,
        (
            "network.teacher_width=64",
            "network.truncation=1.0",
            "diffusion.cells=320",
            "diffusion.rtol=1e-3",
            "problem.t_end=0.01",
        ),
        np.inf,
    ),
    "lambda": (
        "1e-1,1e-2",
        None,
        ("diffusion.cells=320", "diffusion.rtol=1e-3", "problem.t_end=0.01"),
        np.inf,
    ),
    "activations": (
        "1e-1,1e-2",
        None,
        ("diffusion.cells=64", "diffusion.rtol=1e-3", "problem.t_end=0.01"),
        np.inf,
    ),
    "samples": ("50,100,200", 3, SMALL, np.inf),
    "step": ("0.03125,0.015625,0.0078125", None, ("network.lambda=0.1", *SMALL), 0.15),
    "mesh": ("96,192", None, SOON, 0.2),
    "time-step": ("0.015625,0.0078125", None, ("diffusion.cells=64", *SOON), 0.2),
    "gamma": ("1,10", None, SMALL, np.inf),
    "two-timescale": (
        "0.25,0.5",
        None,
        ("network.step=0.001953125", *SMALL, "problem.t_end=1.0"),
        0.15,
    ),
    "dimension": (
        "8,16",
        2,
        (
            "network.samples=64",
            "network.teacher_width=64",
            "diffusion.cells=64",
            "problem.t_end=0.001",
        ),
        np.inf,
    ),
    "decay": ("7,8,9,10", None, ("diffusion.cells=320", "diffusion.rtol=1e-3"), 0.02),
}


def arguments(name, folder, *, values=None, seeds=None):
    """The command line of a tiny study."""
    tiny_values, tiny_seeds, settings, _ = TINY[name]
    seeds = seeds or tiny_seeds
    return [
        "study", name, "--values", values or tiny_values, "--out", str(folder),
        *(["--seeds", str(seeds)] if seeds else []),
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip
