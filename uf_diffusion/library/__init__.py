"""The functions that ``import uf_diffusion as uf`` offers, and the results that they return."""

from uf_diffusion.core.address_space import require_address_space

require_address_space(3 * 2**28, "uf_diffusion")  # for numba, scipy and xarray
