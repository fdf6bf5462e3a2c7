"""Small data and networks for the tests of deep networks, which are skipped without JAX."""

import numpy as np
import pytest

REASON = "JAX, Equinox and Optax are not installed: pip install 'uf-diffusion[deep]'"
for module in ("jax", "equinox", "optax"):
    pytest.importorskip(module, reason=REASON)


def images(n, shape, classes=10, seed=0):
    """Random images of bytes ``(n, *shape)`` and labels ``(n,)``."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, classes, n)
