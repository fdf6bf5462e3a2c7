"""The limit lambda -> 0 for features that see even or odd functions and little more.

The equation is

    d mu/dt = -div(mu u grad w) = -div(mu grad f*(w)),

where w in V_K is the potential of `opposite_pairs`. For ReLU without bias V_K has the even and the
linear functions. The equation is parabolic in one combination of the values of mu at two opposite
points and hyperbolic in another. So shocks form, in antipodal pairs. It is solved as a `transport`;
the derivative of G couples each node to its opposite, and all nodes through the part of w of the
other parity.
"""

from __future__ import annotations

from mpi4py import MPI

import math

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.opposite_pairs import OppositePairs, antipodes
from uf_diffusion.diffusion.potentials import Potential
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme
from uf_diffusion.diffusion.transport import Transport
from uf_diffusion.grids.base import Grid
from uf_diffusion.kernels.seen_spaces import EVEN_AND_LINEAR, SeenSpace
from uf_diffusion.problem import Problem

__all__ = ["ConstrainedDiffusion"]


class ConstrainedDiffusion(Transport):
    """Solves the constrained equation on the circle, on S^2, or for densities on S^d that are
    symmetric about an axis, with elements of degree 1; see `Transport`. Its rtol is for masses.

    Args:
        problem, grid, scheme, rtol, comm: see `Transport`.
        space: what is seen, V_K; not all functions.

    Raises:
        InputError: as `Transport`, and for another manifold, a power above 2, the space of all
            functions, or a mesh that is not antipodally symmetric.
    """

    limit = "constrained"

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        scheme: Scheme = SCHEMES["sdirk2"],
        rtol: float = 1e-4,
        comm: MPI.Comm = MPI.COMM_WORLD,
        space: SeenSpace = EVEN_AND_LINEAR,
    ) -> None:
        if space.everything:
            raise InputError(
                "problem.limit = 'constrained' needs features that do not see all functions; use "
                "'unconstrained'."
            )
        if not problem.manifold.antipodal:
            raise InputError("problem.limit = 'constrained' is for the circle and the spheres S^d.")
        if problem.divergence.power > 2:  # f*'' is infinite where u = 0, and u changes sign
            raise InputError(
                "problem.limit = 'constrained' needs a regulariser of power 2 or less, "
                f"not {problem.divergence.power:g}."
            )
        self.space = space
        super().__init__(problem, grid, scheme, rtol, comm)

    def on(self, grid: Grid, rtol: float, scheme: Scheme | None = None) -> ConstrainedDiffusion:
        return ConstrainedDiffusion(
            self.problem, grid, scheme or self.scheme, rtol, self.comm, space=self.space
        )

    def _ranks_of_cells(self, grid: Grid, comm: MPI.Comm) -> Index | None:
        """Opposite cells go to the same rank: each rank has a lune and the opposite one."""
        if comm.size == 1 or grid.manifold.dim != 2:
            return None
        x, y, _ = grid.nodes[grid.cells].mean(axis=1).T
        order = np.argsort(np.mod(np.arctan2(y, x), math.pi), kind="stable")
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order)) * comm.size // len(order)
        return ranks

    def _opposite(self) -> Index:
        found = self.grid.opposite
        return antipodes(self.grid.linear) if found is None else found

    def _misplaced(self, change: Array) -> float:
        """The mass at wrong places, whatever the distance.

        The stages that a shock crosses are only solvable if it moves by less than a cell in a step.
        Steps that keep to this measure are as short as that.
        """
        return self._size(change)

    def _potential(self) -> Potential:
        return OppositePairs(self.place, self.space)
