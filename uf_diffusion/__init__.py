"""Ultra-fast diffusion and variable-projection training, solved, compared and verified.

Five lines from Python::

    import uf_diffusion
    config = uf_diffusion.load_config("relu-circle", ["network.width=128"])
    result = uf_diffusion.compare(config)          # an xarray.DataTree
    print(result["comparison"].energy_distance_diffusion.values)
    uf_diffusion.draw(result, "figure.pdf")
"""

from uf_diffusion.comparison.compare import compare, evolution, solve, train, training
from uf_diffusion.config import Config, load_config
from uf_diffusion.errors import Caution, InputError, RunFailure
from uf_diffusion.plots import draw
from uf_diffusion.version import __version__

__all__ = [
    "Caution",
    "Config",
    "InputError",
    "RunFailure",
    "__version__",
    "compare",
    "draw",
    "evolution",
    "load_config",
    "solve",
    "train",
    "training",
]
