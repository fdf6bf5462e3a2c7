"""Ultra-fast diffusion and variable-projection training, solved, compared and verified.

Six lines from Python::

    import uf_diffusion as uf
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=100))
    limit = uf.solve(problem, until=5.0)
    network = uf.train(problem, uf.ReLU(), until=5.0, width=512, regularisation=1e-3)
    both = uf.compare(network, limit)
    both.plot("figure.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uf_diffusion.core.errors import Caution, InputError, RunFailure
    from uf_diffusion.core.version import __version__
    from uf_diffusion.grids.built_in import grid_on
    from uf_diffusion.kernels.base import PlainFeature
    from uf_diffusion.kernels.features import Laplace, Radial, ReLU
    from uf_diffusion.library.calls import (
        compare,
        evolution,
        load,
        run,
        solve,
        spectrum,
        stepping,
        train,
        training,
    )
    from uf_diffusion.library.drawing import draw
    from uf_diffusion.library.objects import Comparison, Solution, Spectrum, TrainedNetwork
    from uf_diffusion.problem import Problem
    from uf_diffusion.problem.densities import (
        Bumps,
        Density,
        Diracs,
        Function,
        Uniform,
        VonMisesFisher,
    )
    from uf_diffusion.problem.divergences import BIASED, ENTROPY, UNBIASED, Power
    from uf_diffusion.problem.manifolds import Circle, Embedded, FlatTorus, Sphere
    from uf_diffusion.runs.config import Config
    from uf_diffusion.runs.reading import load_config

# where each name is defined: nothing is imported before it is asked for
_HOME = {
    "core.errors": ("Caution", "InputError", "RunFailure"),
    "core.version": ("__version__",),
    "grids.built_in": ("grid_on",),
    "kernels.base": ("PlainFeature",),
    "kernels.features": ("Laplace", "Radial", "ReLU"),
    "library.calls": ("compare", "evolution", "load", "run", "solve", "spectrum", "stepping",
                      "train", "training"),
    "library.drawing": ("draw",),
    "library.objects": ("Comparison", "Solution", "Spectrum", "TrainedNetwork"),
    "problem": ("Problem",),
    "problem.densities": ("Bumps", "Density", "Diracs", "Function", "Uniform", "VonMisesFisher"),
    "problem.divergences": ("BIASED", "ENTROPY", "UNBIASED", "Power"),
    "problem.manifolds": ("Circle", "Embedded", "FlatTorus", "Sphere"),
    "runs.config": ("Config",),
    "runs.reading": ("load_config",),
}  # fmt: skip
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BIASED",
    "ENTROPY",
    "UNBIASED",
    "Bumps",
    "Caution",
    "Circle",
    "Comparison",
    "Config",
    "Density",
    "Diracs",
    "Embedded",
    "FlatTorus",
    "Function",
    "InputError",
    "Laplace",
    "PlainFeature",
    "Power",
    "Problem",
    "Radial",
    "ReLU",
    "RunFailure",
    "Solution",
    "Spectrum",
    "Sphere",
    "TrainedNetwork",
    "Uniform",
    "VonMisesFisher",
    "__version__",
    "compare",
    "draw",
    "evolution",
    "grid_on",
    "load",
    "load_config",
    "run",
    "solve",
    "spectrum",
    "stepping",
    "train",
    "training",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'uf_diffusion' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"uf_diffusion.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
