"""Variable projection for deep networks: the outer layer in closed form, the features by gradients.

Only this package imports JAX, Equinox and Optax. The public names are listed in ``__init__.pyi``;
JAX is needed from the first use of one of them, so that `command_line` is read without it.
Source: arXiv:2504.18208, section 6.2.
"""

from typing import Any

import lazy_loader

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.signals import undisturbed

_imported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
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
    return _imported(name)
