"""Reference solutions of the mean-field equation on the circle and, about an axis, on S^d.

They share no code with the package's solvers, and check them. For a teacher nu and an outer weight
u = f*'(w) the density mu of the particles moves up the gradient of G = f*(w),

    d mu/dt = -div(mu grad G),    lambda w = K (nu - u mu),

with a kernel K that is diagonal in the basis phi_j: Fourier modes on the circle, Gegenbauer
polynomials of the height s = cos theta on the sphere. Densities are relative to length on the
circle, and to the uniform probability on the sphere; phi_j is orthonormal in that measure. The
unknowns are the coefficients of mu. By Galerkin's method, with P the projection to the basis,

    d/dt int mu phi_j = int mu grad(P G).grad phi_j,    for all j,

with trapezoidal quadrature on the circle and Gauss's on the sphere. Mass is conserved exactly, and
the discrete risk

    L = |r|^2 / (2 lambda) + int f(u) dmu,    |r|^2 = int int K d(nu - u mu) d(nu - u mu),

falls exactly at the rate int mu |grad(P G)|^2, because -G is its first variation. The function w is
found as sum_j sqrt(kappa_j) z_j phi_j by Newton's method for the convex function of z

    lambda |z|^2 / 2 + int f*(w) dmu - int w dnu,

one step of which suffices if f is quadratic. `Solution.tail` tells whether there are enough modes.
In time it is scipy's DOP853: K smooths so much that the equation is not stiff unless lambda is
tiny.

On spheres of many dimensions mu piles up at the pole, where the uniform probability has hardly any
mass. The sum of its modes then converges much later than its moments, w, and the risk, and may be
negative. `Solution.at` is the density that w transports from the start: it goes back in time along
dx/dt = grad G, on which d(log mu)/dt = -div grad G. It is positive, and accurate whenever w is.

    python -m tests.spectral_mean_field

prints reference values on the circle, and their changes by the number of points; it takes half a
minute with OMP_NUM_THREADS=1, and much more where threads of BLAS compete for busy cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import cho_factor, cho_solve
from scipy.special import gammaln, roots_jacobi, roots_legendre, xlogy

Array = np.ndarray
Function = Callable[[Array], Array]
Jet = tuple[Array, Array, Array]  # values, and first and second derivatives

RTOL, ATOL = 1e-10, 1e-12
TIMES = (0.5, 1.0, 2.0)
NEWTON = 100  # steps at most; one that changes w by less than `SMALL` is the last
SMALL = 1e-7  # the error left is about its square


@dataclass(frozen=True)
class Outer:
    """An outer weight's function f, through its conjugate f*.

    Attributes:
        f: of u.
        conjugate, weight, bend: f*(w) and its first two derivatives.
        quadratic: whether f* is.
    """

    f: Function
    conjugate: Function
    weight: Function
    bend: Function
    quadratic: bool = True


OUTER = {
    "unbiased": Outer(lambda u: (u - 1) ** 2 / 2, lambda w: w + w * w / 2, lambda w: 1 + w,
                      np.ones_like),
    "biased": Outer(lambda u: u * u / 2, lambda w: w * w / 2, lambda w: w, np.ones_like),
    "entropy": Outer(lambda u: xlogy(u, u) - u + 1, np.expm1, np.exp, np.exp, quadratic=False),
}  # fmt: skip


def arc_cosine_circle(cutoff: int) -> Array:
    """The Fourier coefficients kappa_k of (sin a + (pi - a) cos a) / (2 pi), a in [0, pi].

    They are 2 / (pi^2 (k^2 - 1)^2) for even k, 1/8 for k = 1, and 0 for other odd k, k <= cutoff.
    """
    k = np.arange(cutoff + 1)
    kappa = np.zeros(cutoff + 1)
    kappa[::2] = 2 / (np.pi * (k[::2] ** 2 - 1.0)) ** 2
    kappa[1:2] = 1 / 8
    return kappa


def matern_circle(cutoff: int, length: float, scale: float) -> Array:
    """The Fourier coefficients of the periodic sum of (1 + r) exp(-r), r = |d| / scale.

    By Poisson's summation kappa_k is the transform 4 scale / (1 + (scale q)^2)^2 on the line at
    q = 2 pi k / length, divided by the length.
    """
    q = 2 * np.pi * np.arange(cutoff + 1) / length
    return 4 * scale / (length * (1 + (scale * q) ** 2) ** 2)


def _angles(dim: int, number: int) -> tuple[Array, Array]:
    """Gauss-Legendre angles on [0, pi], and weights of the uniform probability on S^dim there."""
    z, weight = roots_legendre(number)
    theta = np.pi / 2 * (1 + z)
    weight = weight * np.sin(theta) ** (dim - 1)
    return theta, weight / weight.sum()


def gaussian_sphere(dim: int, cutoff: int, scale: float) -> Array:
    """The eigenvalues kappa_l of exp((rho - 1) / scale^2) in the uniform probability on S^dim.

    With Rodrigues' formula that of Funk and Hecke is the mean of the l-th derivative of the kernel
    times (1 - rho^2)^l Gamma(d/2) / (2^l Gamma(l + d/2)), which is positive: no digits cancel.
    """
    degree = np.arange(cutoff + 1)
    theta, weight = _angles(dim, 400 + 2 * cutoff)
    log = 2 * np.log(np.sin(theta)) * degree[:, None] + (np.cos(theta) - 1) / scale**2
    factor = gammaln(dim / 2) - gammaln(degree + dim / 2) - degree * np.log(2 * scale**2)
    return np.exp(log + factor[:, None]) @ weight


def arc_cosine_sphere(dim: int, cutoff: int) -> Array:
    """The eigenvalues of (sin a + (pi - a) cos a) / (2 pi), with a the angle, as above.

    The kernel is (cos a) / 4 plus an even function of cos a that is analytic in a on [0, pi].
    """
    theta, weight = _angles(dim, 400 + 2 * cutoff)
    even = (np.sin(theta) + (np.pi / 2 - theta) * np.cos(theta)) / (2 * np.pi)
    values = gegenbauer(dim, cutoff, np.cos(theta))[0]
    one = gegenbauer(dim, cutoff, np.ones(1))[0][0]
    kappa = np.maximum(values.T @ (weight * even) / one, 0)
    kappa[1::2] = 0
    kappa[1:2] = 1 / (4 * (dim + 1))
    return kappa


def gegenbauer(dim: int, degree: int, s: Array) -> Jet:
    """The orthonormal zonal harmonics on S^dim and two derivatives, ``(len(s), degree + 1)`` each.

    They obey s Z_(k-1) = beta_k Z_k + beta_(k-1) Z_(k-2).
    """
    k = np.arange(2, degree + 1)
    beta = np.full(degree + 1, np.sqrt(1 / (dim + 1)))
    beta[2:] = np.sqrt(k * (k + dim - 2) / ((2 * k + dim - 1) * (2 * k + dim - 3)))
    beta[0] = 0
    values, slopes, curves = np.zeros((3, degree + 2, len(s)))  # the last row is the one before 0
    values[0] = 1
    for i in range(1, degree + 1):
        low, back = i - 1, beta[i - 1]
        values[i] = (s * values[low] - back * values[i - 2]) / beta[i]
        slopes[i] = (values[low] + s * slopes[low] - back * slopes[i - 2]) / beta[i]
        curves[i] = (2 * slopes[low] + s * curves[low] - back * curves[i - 2]) / beta[i]
    return values[:-1].T, slopes[:-1].T, curves[:-1].T


def fourier(length: float, number: int, x: Array) -> Jet:
    """The orthonormal modes of degree < number / 2 and two derivatives, ``(len(x), number - 1)``.

    The constant comes first, then the cosines, then the sines.
    """
    q = 2 * np.pi / length * np.arange(1, number // 2)
    size = np.sqrt(2 / length)
    cos, sin = size * np.cos(np.outer(x, q)), size * np.sin(np.outer(x, q))
    one, zero = np.full((len(x), 1), np.sqrt(1 / length)), np.zeros((len(x), 1))
    return (np.hstack([one, cos, sin]), np.hstack([zero, -q * sin, q * cos]),
            np.hstack([zero, -q * q * cos, -q * q * sin]))  # fmt: skip


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of n functions, at the m points of a quadrature rule.

    Attributes:
        points, weight: the rule, ``(m,)``; x on the circle, heights on the sphere.
        metric, drift: map points to |grad x|^2 and the Laplacian of x there.
        kappa: the eigenvalues of K, ``(n,)``.
        last: which functions have the highest degree, ``(n,)``.
        at: maps points to the functions and two derivatives there, ``(len(points), n)`` each.
    """

    points: Array
    weight: Array
    metric: Function
    drift: Function
    kappa: Array
    last: Array
    at: Callable[[Array], Jet]

    @cached_property
    def values(self) -> Array:
        """The functions at the points, ``(m, n)``."""
        return self.at(self.points)[0]

    @cached_property
    def slopes(self) -> Array:
        """Their derivatives with respect to x or the height, ``(m, n)``."""
        return self.at(self.points)[1]

    def coefficients(self, values: Array) -> Array:
        """Those of a function given at the points, ``(m,)``."""
        return self.values.T @ (self.weight * values)

    def density(self, shape: Function) -> Function:
        """A positive function, divided by its integral."""
        mass = self.weight @ shape(self.points)
        return lambda points: shape(points) / mass


def circle(kappa: Array, length: float = 2 * np.pi, number: int = 256, left: float = 0.0) -> Basis:
    """The basis at an even number of equidistant points from ``left``, without the highest mode.

    The kernel is the sum over all k of kappa_|k| exp(2 pi i k (x - y) / length).
    """
    half = number // 2
    degree = np.concatenate([np.arange(half), np.arange(1, half)])
    return Basis(
        left + length / number * np.arange(number), np.full(number, length / number),
        np.ones_like, np.zeros_like, length * np.asarray(kappa)[degree], degree == half - 1,
        lambda x: fourier(length, number, x),
    )  # fmt: skip


def sphere(kappa: Array, dim: int, degree: int = 160) -> Basis:
    """The basis of polynomials of the height on S^dim, with a Gauss rule of twice the degree."""
    s, weight = roots_jacobi(2 * degree + 16, dim / 2 - 1, dim / 2 - 1)
    return Basis(
        s, weight / weight.sum(), lambda s: 1 - s * s, lambda s: -dim * s,
        np.asarray(kappa)[: degree + 1], np.arange(degree + 1) == degree,
        lambda s: gegenbauer(dim, degree, s),
    )  # fmt: skip


class Projection:
    """Solves lambda w = K (nu - u mu), u = f*'(w), for densities at the points of a basis.

    Attributes:
        nu: the teacher's density, ``(m,)``.
    """

    def __init__(self, basis: Basis, nu: Array, strength: float, outer: Outer):
        self.basis, self.nu, self.strength, self.outer = basis, nu, strength, outer
        self._metric = basis.metric(basis.points)
        self._seen = np.flatnonzero(basis.kappa > 0)
        self._scale = np.sqrt(basis.kappa[self._seen])
        self._root = basis.values[:, self._seen] * self._scale
        self._z = np.zeros(len(self._seen))

    def __call__(self, mu: Array) -> Array:
        """The function w at the points, ``(m,)``; Newton's method starts from the last one found.

        Along dw the third derivative of int exp(w) dmu is at most max |dw| times the second. The
        step log(1 + size) / size, size = max |dw|, then converges from everywhere (Sun and
        Tran-Dinh, Mathematical Programming 178, 2019).
        """
        for _ in range(NEWTON):
            change = self._change(mu)
            size = np.abs(self._root @ change).max()
            done = self.outer.quadratic or size <= SMALL
            self._z = self._z + change * (1.0 if done else np.log1p(size) / size)
            if done:
                return self._root @ self._z
        raise RuntimeError("Newton's method did not converge.")

    def _change(self, mu: Array) -> Array:
        """Newton's step for z."""
        root, weight, w = self._root, self.basis.weight, self._root @ self._z
        force = root.T @ (weight * (self.nu - self.outer.weight(w) * mu)) - self.strength * self._z
        matrix = root.T @ ((weight * mu * self.outer.bend(w))[:, None] * root)
        matrix.flat[:: len(matrix) + 1] += self.strength
        return cho_solve(cho_factor(matrix, overwrite_a=True, check_finite=False), force)

    def risk(self, mu: Array, w: Array) -> float:
        """|r|^2 / (2 lambda) + int f(u) dmu."""
        basis, u = self.basis, self.outer.weight(w)
        residual = basis.kappa @ basis.coefficients(self.nu - u * mu) ** 2
        return residual / (2 * self.strength) + basis.weight @ (mu * self.outer.f(u))

    def slope(self, w: Array) -> Array:
        """The derivative of the projection of G with respect to x or the height, ``(m,)``."""
        return self.basis.slopes @ self.basis.coefficients(self.outer.conjugate(w))

    def velocity(self, coefficients: Array) -> Array:
        """The time derivative of the coefficients of mu, ``(n,)``."""
        basis, mu = self.basis, self.basis.values @ coefficients
        return basis.slopes.T @ (basis.weight * self._metric * mu * self.slope(self(mu)))

    def dissipation(self, mu: Array, w: Array) -> float:
        """int mu |grad G|^2, at which the risk falls."""
        return self.basis.weight @ (self._metric * mu * self.slope(w) ** 2)

    def field(self, coefficients: Array, x: Array) -> tuple[Array, Array]:
        """dx/dt and div grad G at points ``(p,)`` for the density with these coefficients."""
        self(self.basis.values @ coefficients)
        jet = (part[:, self._seen] @ (self._scale * self._z) for part in self.basis.at(x))
        w, slope, curve = jet
        u = self.outer.weight(w)
        metric, first = self.basis.metric(x), u * slope
        second = u * curve + self.outer.bend(w) * slope**2
        return metric * first, metric * second + self.basis.drift(x) * first


@dataclass(frozen=True)
class Solution:
    """A solution at k times, with the m points of its basis.

    Attributes:
        t: the times, ``(k,)``.
        points: x on the circle, heights on the sphere, ``(m,)``.
        teacher: the density nu there, ``(m,)``.
        density, outer: the density mu and the outer weight u there, ``(k, m)``.
        risk, dissipation: L and the rate at which it falls, ``(k,)``.
        mass, mean: the integrals of 1 and of x or the height against mu, ``(k,)``.
        coefficients: of mu in the basis, ``(k, n)``.
        tail: the largest of them of the highest degree relative to that of degree 0, ``(k,)``.
        at: maps points to the density there, ``(k, len(points))``, along characteristics.
    """

    t: Array
    points: Array
    teacher: Array
    density: Array
    outer: Array
    risk: Array
    dissipation: Array
    mass: Array
    mean: Array
    coefficients: Array
    tail: Array
    at: Function


def _transported(project: Projection, path: Callable[[float], Array], start: Function, time: float,
                 points: Array, rtol: float, atol: float) -> Array:  # fmt: skip
    """The density at a time at given points, from the start's along characteristics."""

    def rate(t: float, unknowns: Array) -> Array:
        return np.concatenate(project.field(path(t), unknowns[: len(points)]))

    if time == 0:
        return start(points)
    unknowns = np.concatenate([points, np.zeros(len(points))])
    done = solve_ivp(rate, (time, 0.0), unknowns, "DOP853", rtol=rtol, atol=atol)
    if not done.success:
        raise RuntimeError(done.message)
    x, log = np.split(done.y[:, -1], 2)
    return start(x) * np.exp(log)


def solve(basis: Basis, teacher: Function, start: Function, strength: float, outer: str,
          times: Sequence[float], rtol: float = RTOL, atol: float = ATOL,
          method: str = "DOP853") -> Solution:  # fmt: skip
    """The mean-field equation from time 0, at increasing times.

    Args:
        basis: from `circle` or `sphere`.
        teacher, start: map points ``(p,)`` to densities ``(p,)``, whose masses need not be 1.
        strength: lambda > 0.
        outer: a key of `OUTER`.
        times: the times, >= 0.
        rtol, atol, method: those of `scipy.integrate.solve_ivp`.

    Raises:
        RuntimeError, LinAlgError: if a method fails, as it may where mu is not resolved.
    """
    nu, first = basis.density(teacher)(basis.points), basis.density(start)
    project = Projection(basis, nu, strength, OUTER[outer])
    done = solve_ivp(lambda t, m: project.velocity(m), (0.0, max(times)),
                     basis.coefficients(first(basis.points)), method, t_eval=times,
                     dense_output=True, rtol=rtol, atol=atol)  # fmt: skip
    if not done.success:
        raise RuntimeError(done.message)
    mu = done.y.T @ basis.values.T
    w = np.array([project(row) for row in mu])

    def at(points: Array) -> Array:
        given = project, done.sol, first
        x = np.asarray(points, float)
        return np.array([_transported(*given, t, x, rtol, atol) for t in times])

    return Solution(
        np.array(times), basis.points, nu, mu, project.outer.weight(w),
        np.array([project.risk(*pair) for pair in zip(mu, w, strict=True)]),
        np.array([project.dissipation(*pair) for pair in zip(mu, w, strict=True)]),
        mu @ basis.weight, mu @ (basis.weight * basis.points), done.y.T,
        np.abs(done.y[basis.last]).max(axis=0) / np.abs(done.y[0]), at,
    )  # fmt: skip


def uniform(points: Array) -> Array:
    """A density that is constant."""
    return np.ones_like(points)


def two_peaks(x: Array, sharpness: float = 10.0) -> Array:
    """A teacher's density for length 2 pi, with peaks at 0 and, half as high, 0.4 pi."""

    def peak(centre: float) -> Array:
        return 1 / (1 + sharpness * np.sin((x - centre) / 2) ** 2)

    return peak(0.0) + 0.5 * peak(0.4 * np.pi)


def risk_and_peak(kappa: Array, number: int, strength: float, outer: str) -> tuple[Array, Array]:
    """Those at `TIMES` on the circle, ``(2, times)``, and `Solution.tail`.

    The teacher is `two_peaks`, the start uniform; the greatest density is that of 4000 points.
    """
    basis = circle(kappa, number=number)
    solution = solve(basis, two_peaks, uniform, strength, outer, TIMES)
    modes = basis.at(np.arange(4000) * np.pi / 2000)[0]
    peak = (solution.coefficients @ modes.T).max(axis=1)
    return np.array([solution.risk, peak]), solution.tail


def table(number: int = 256, strengths: Sequence[float] = (1e-2, 1e-3)) -> Iterator[str]:
    """Lines with the numbers of `risk_and_peak`, and their changes from half as many points."""
    kernels = {"arc-cosine": arc_cosine_circle(number // 2),
               "matern 0.5": matern_circle(number // 2, 2 * np.pi, 0.5)}  # fmt: skip
    yield "kernel     outer     lambda    t           risk   change        maximum   change    tail"
    for (name, kappa), outer, strength in product(kernels.items(), OUTER, strengths):
        low, _ = risk_and_peak(kappa, number // 2, strength, outer)
        best, tail = risk_and_peak(kappa, number, strength, outer)
        for i, t in enumerate(TIMES):
            (risk, peak), change = best[:, i], best[:, i] - low[:, i]
            yield (
                f"{name:10s} {outer:8s} {strength:7g} {t:4g}   {risk:12.10f} {change[0]:8.1e}   "
                f"{peak:12.10f} {change[1]:8.1e} {tail[i]:7.1e}"
            )


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
