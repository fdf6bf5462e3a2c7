"""The spaces of functions that features see as lambda -> 0: even or odd ones, and a few more.

Features phi = sigma(omega.x) with inputs x whose law is invariant under rotations have a kernel of
omega.omega', whose eigenfunctions are the harmonics. Split sigma into its even and its odd part.
Harmonics of even degree are seen through the even part, all of them unless it is a polynomial; a
polynomial of degree q sees those up to q. The same holds for the odd part. So the space that is
seen consists of all functions of one parity, and of finitely many harmonics of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array

__all__ = ["CONSTANTS_AND_ODD", "EVEN", "EVEN_AND_LINEAR", "EVERYTHING", "ODD",
           "ODD_AND_QUADRATIC", "SPACES", "SeenSpace", "space_of_degrees"]  # fmt: skip

LARGEST = 2  # degree of the harmonics of the other parity


@dataclass(frozen=True)
class SeenSpace:
    """A space of functions on a sphere.

    Attributes:
        name: its name in sentences.
        parity: 1 for all even functions, -1 for all odd ones, 0 for all functions.
        degrees: the degrees of the harmonics of the other parity, at most 2.
    """

    name: str
    parity: int
    degrees: tuple[int, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether the space consists of all functions."""
        return self.parity == 0

    @property
    def has_constants(self) -> bool:
        """Whether the space contains the constant functions."""
        return self.parity >= 0 or 0 in self.degrees

    @property
    def unseen(self) -> str:
        """The degrees that are not in the space, in words; empty if there are none."""
        if self.everything:
            return ""
        first = next(k for k in range(8) if not self.has(k))
        kind = "even" if self.parity < 0 else "odd"
        return f"{kind} degrees" + (f" >= {first}" if first > 1 else "")

    def has(self, degree: int) -> bool:
        """Whether the space contains the harmonics of a degree."""
        return self.parity == 0 or (-1) ** degree == self.parity or degree in self.degrees

    def others(self, linear: Array) -> Array:
        """Functions ``(n, k)`` that span those of the other parity, at n points.

        Args:
            linear: the linear functions that matter, ``(n, axes)``: the coordinates of the points,
                or their heights alone for densities that are symmetric about an axis.
        """
        n, axes = linear.shape
        columns = [np.empty((n, 0))]
        if 0 in self.degrees:
            columns.append(np.ones((n, 1)))
        if 1 in self.degrees:
            columns.append(linear)
        if 2 in self.degrees:
            # the squares of all coordinates of a point sum to 1, which is a constant
            pairs = [(i, j) for i in range(axes) for j in range(i, axes)]
            kept = pairs if axes == 1 else pairs[:-1]
            columns.append(np.column_stack([linear[:, i] * linear[:, j] for i, j in kept]))
        return np.concatenate(columns, axis=1)


EVERYTHING = SeenSpace("all functions", 0)
EVEN_AND_LINEAR = SeenSpace("even and linear functions", 1, (1,))
EVEN = SeenSpace("even functions", 1)
ODD = SeenSpace("odd functions", -1)
CONSTANTS_AND_ODD = SeenSpace("odd functions and constants", -1, (0,))
ODD_AND_QUADRATIC = SeenSpace("odd functions and the degrees 0 and 2", -1, (0, 2))
SPACES = (EVERYTHING, EVEN_AND_LINEAR, EVEN, ODD, CONSTANTS_AND_ODD, ODD_AND_QUADRATIC)


def space_of_degrees(seen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> SeenSpace | None:
    """The space that has exactly these harmonics.

    Args:
        seen: whether the harmonics of each degree are seen, ``(n,)`` with n > 3.

    Returns:
        The space; None if it is none of `SPACES`.
    """
    for space in SPACES:
        if all(space.has(degree) == is_seen for degree, is_seen in enumerate(seen)):
            return space
    return None
