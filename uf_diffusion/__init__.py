"""Ultra-fast diffusion and variable-projection training, solved, compared and verified.

Six lines from Python::

    import uf_diffusion as uf
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=100))
    limit = uf.solve(problem, until=5.0)
    network = uf.train(problem, uf.ReLU(), until=5.0, width=512, regularisation=1e-3)
    both = uf.compare(network, limit)
    both.plot("figure.png")

The public names are listed in ``__init__.pyi``. A module is imported only when one of its names is
used.
"""

import lazy_loader

from uf_diffusion.core.environment import mend_environment

mend_environment()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
