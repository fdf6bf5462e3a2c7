"""Variable projection for deep networks: the outer layer in closed form, the features by gradients.

Only this package imports JAX, Equinox and Optax. Source: arXiv:2504.18208, section 6.2.
"""

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.signals import undisturbed

try:
    with undisturbed():
        import equinox  # noqa: F401
        import jax  # noqa: F401
        import optax  # noqa: F401
except ImportError as error:
    raise InputError(
        "Deep networks need JAX with Equinox and Optax: install it with "
        f"`pip install 'uf-diffusion[deep]'` ({error})."
    ) from error

from uf_diffusion.deep.networks import ResNet, TwoLayer, narrow, resnet20
from uf_diffusion.deep.projection import optimal_outer_layer, projected_risk, risk
from uf_diffusion.deep.shampoo import shampoo
from uf_diffusion.deep.training import Joint, Training, TrainingState, VarPro

__all__ = ["Joint", "ResNet", "Training", "TrainingState", "TwoLayer", "VarPro", "narrow",
           "optimal_outer_layer", "projected_risk", "resnet20", "risk", "shampoo"]  # fmt: skip
