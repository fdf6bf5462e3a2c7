"""The sections of a configuration: one frozen dataclass for each, with every key checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from uf_diffusion.core.arguments import LARGEST, whole_number
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import unknown
from uf_diffusion.grids.elements import HIGHEST
from uf_diffusion.network.data import require_settings
from uf_diffusion.network.placement import PLACEMENTS
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.runs.building import MANIFOLDS, density, divergence, manifold
from uf_diffusion.runs.keys import Snapshots, Vector, key, one_of, positive, settle_types

__all__ = ["CHOSEN", "LIMITS", "DiffusionConfig", "NetworkConfig", "ProblemConfig"]

ALGORITHMS = ["varpro", "two-timescale", "flow", "joint", "fixed"]
KERNELS = ["sampled", "population", "low-rank"]
# the equations for the density, with their names in headings
LIMITS = {
    "auto": "the limit of the features",
    "unconstrained": "the ultra-fast diffusion",
    "constrained": "the limit constrained to what the features see",
    "mean-field": "the mean-field equation",
}
# keys of [diffusion] that a tolerance chooses
CHOSEN = ("cells", "degree", "scheme", "rtol", "step", "mesh")
LEAST_TOLERANCE = 1e-10
SCHEMES = ["euler", "sdirk2", "sdirk3", "esdirk4", "esdirk5", "rodas4", "rodas5p"]


@dataclass(frozen=True)
class ProblemConfig:
    """Section [problem]: what is solved."""

    manifold: str = key(
        "circle", "feature space: circle, sphere, torus, or your own as 'module:name'"
    )
    dim: int = key(0, "dimension of the manifold; 0 chooses the usual one, such as 2 on a sphere")
    period: float = key(4.0, "length of each axis of a torus", "length")
    regulariser: str = key(
        "unbiased",
        "divergence f that penalises the outer weights: unbiased, biased, entropy, power, or your "
        "own as 'module:name'",
    )
    power: float = key(2.0, "exponent p of the regulariser 'power', with 1 < p <= 4")
    axis: Vector = key(
        (),
        "vector about which teacher and initial density are symmetric, on a sphere: then the "
        "diffusion is solved in one dimension; if empty, it is found where dim is 3 or more",
    )
    t_end: float = key(10.0, "final time of the diffusion and of the training", "time")
    limit: str = key(
        "unconstrained",
        "which equation the diffusion solves: unconstrained (ultra-fast diffusion), constrained "
        "(the limit of features that see even or odd functions and little more, such as relu), "
        "mean-field (a network of infinite width, at its lambda), or auto (the limit that the "
        "features have as lambda tends to 0, or mean-field if that is not known)",
    )
    teacher: Any = key(
        None,
        "target density: a kind such as 'uniform', or a table with the kind and its keys; if not "
        "given, von-mises-fisher on a sphere, and the paper's bumps elsewhere",
        "1/volume",
    )
    initial: Any = key(
        "uniform", "density of the student at t = 0, written in the same way", "1/volume"
    )

    def __post_init__(self) -> None:
        settle_types("problem", self)
        if self.manifold not in MANIFOLDS and ":" not in self.manifold:
            raise unknown("problem.manifold", self.manifold, MANIFOLDS)
        if self.dim < 0:
            raise InputError(f"problem.dim must be positive, not {self.dim}.")
        positive("problem.t_end", self.t_end)
        if self.t_end > LARGEST:
            raise InputError(f"problem.t_end must be at most {LARGEST:g}, not {self.t_end:g}.")
        one_of("problem.limit", self.limit, LIMITS)
        if self.dim == 0:
            object.__setattr__(self, "dim", MANIFOLDS.get(self.manifold, 0))
        default = "von-mises-fisher" if self.manifold == "sphere" else "bumps"
        for name in ("teacher", "initial"):
            spec = default if getattr(self, name) is None else getattr(self, name)
            table = {"kind": spec} if isinstance(spec, str) else dict(spec)
            object.__setattr__(self, name, table)

    @property
    def may_have_axis(self) -> bool:
        """Whether the diffusion is solved on rings about an axis, if it can be solved."""
        return bool(self.axis) or (self.manifold == "sphere" and self.dim > 2)

    def space(self, folder: str | None = ".") -> Manifold:
        """The feature space. A manifold "module:name" is searched for in ``folder`` first.

        Raises:
            InputError: for a manifold that does not exist, or not in this dimension.
        """
        return manifold(self.manifold, self.dim, self.period, folder)

    def build(self, folder: str | None = ".") -> Problem:
        """The manifold, the densities and the divergence that this section names, as `space`.

        Raises:
            InputError: for a name that is unknown or a value out of range.
        """
        space = self.space(folder)
        return Problem(
            manifold=space,
            teacher=density(self.teacher, space, folder),
            initial=density(self.initial, space, folder),
            divergence=divergence(self.regulariser, self.power, folder),
            axis=self.axis or None,
        )


@dataclass(frozen=True)
class DiffusionConfig:
    """Section [diffusion]: how the PDE is solved."""

    cells: int = key(4096, "the built-in mesh has at least this number of cells")
    degree: int = key(
        1,
        "degree of the finite elements: 1 to 8 on the circle, 1 to 3 on S^2 and T^2, 1 or 2 on T^3",
    )
    scheme: str = key(
        "sdirk2",
        "time scheme: euler, sdirk2, sdirk3, esdirk4 or esdirk5, of order 1 to 5, or rodas4 or "
        "rodas5p, of order 4 and 5, which take less time on the circle",
    )
    rtol: float = key(1e-4, "relative error that an adaptive time step may make")
    step: float = key(0.0, "length of fixed time steps; 0 chooses steps that keep to rtol", "time")
    tolerance: float = key(
        0.0,
        "error of the density in L1 that mesh and time steps may leave together, by estimate, at "
        "all snapshots; if given, it chooses cells, degree, scheme, rtol and step; 0 for none",
    )
    mesh: str = key("", "file with a mesh of the sphere; if empty, the built-in mesh is used")
    snapshots: Snapshots = key(
        21,
        "number of times at which results are stored, evenly spaced from 0 to t_end, or a list of "
        "these times",
        "time",
    )
    checkpoint: float = key(60.0, "wall-clock time between two checkpoints", "seconds")

    def __post_init__(self) -> None:
        settle_types("diffusion", self)
        positive("diffusion.cells", self.cells)
        whole_number("diffusion.degree", self.degree, 1, max(HIGHEST.values()))
        one_of("diffusion.scheme", self.scheme, SCHEMES)
        if not 0 < self.rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.step < 0:
            raise InputError(f"diffusion.step must not be negative, but is {self.step}.")
        positive("diffusion.checkpoint", self.checkpoint)
        if self.tolerance:
            self._require_free()

    def _require_free(self) -> None:
        """Refuse a tolerance that is out of range, or that is given with what it chooses."""
        if not LEAST_TOLERANCE <= self.tolerance < 1:
            raise InputError(
                f"diffusion.tolerance must be 0 or lie between {LEAST_TOLERANCE:g} and 1, not "
                f"{self.tolerance}."
            )
        for f in fields(self):
            if f.name in CHOSEN and getattr(self, f.name) != f.default:
                raise InputError(
                    f"diffusion.tolerance = {self.tolerance:g} chooses mesh and time steps: leave "
                    f"diffusion.{f.name} out, or the tolerance."
                )


@dataclass(frozen=True)
class NetworkConfig:
    """Section [network]: how the network is trained; ``regularisation`` is the key ``lambda``."""

    width: int = key(512, "number of neurons of the student")
    regularisation: float = key(1e-3, "regularisation strength of the outer weights", name="lambda")
    features: str = key(
        "",
        "feature function: relu (spheres), activation (spheres), fourier (spheres), radial (tori), "
        "laplace (circle), or your own as 'module:name'; if empty, radial on a torus and relu "
        "elsewhere",
    )
    activation: str = key(
        "relu",
        "activation function of the features 'activation': relu, leaky-relu, softplus, gelu, silu, "
        "elu, tanh, erf, sigmoid, sin, cos, abs, exp, gaussian, relu2, or your own as "
        "'module:name', which maps an array z to two arrays, its values and its derivatives",
    )
    slope: float = key(0.01, "derivative of the activation leaky-relu at negative arguments")
    bias: bool = key(
        False,
        "whether the inputs of the features 'activation' have a last coordinate 1, so that the "
        "last coordinate of a feature is its bias",
    )
    scale: float = key(
        0.0,
        "width of the features 'radial' and 'laplace', or of the kernel of 'fourier', or the "
        "number by which the argument of an activation is divided; 0 chooses 1 for activations and "
        "0.5 elsewhere",
        "length",
    )
    profile: str = key(
        "",
        "shape of the features 'radial', and of the kernel of 'fourier': laplace, gaussian or "
        "matern; if empty, gaussian with 'fourier' and laplace elsewhere",
    )
    kernel: str = key(
        "sampled",
        "how the inputs enter: sampled (drawn at random), population (infinitely many), or "
        "low-rank (the population's kernel, truncated)",
    )
    samples: int = key(4096, "number of inputs of the kernel 'sampled'")
    inputs: str = key(
        "",
        "inputs of the kernel 'sampled': a law, gaussian, sphere (of radius sqrt(n) in R^n) or "
        "cube, or a file (.csv, .npy, .npz, .nc); if empty, the law that belongs to the features",
    )
    labels: str = key(
        "teacher",
        "outputs that are learnt: teacher, or a file with a label for each of the given inputs, "
        "which may be the same file",
    )
    noise: float = key(0.0, "standard deviation of Gaussian noise that is added to all labels")
    held_out: float = key(
        0.0, "fraction of the inputs that is held out of training, to measure the error there"
    )
    teacher_width: int = key(4096, "number of neurons of the teacher")
    truncation: float = key(
        1e-2, "how much of K(w, w) the kernel 'low-rank' may leave out, as a multiple of lambda"
    )
    draws: str = key(
        "",
        "random draws that are given: a file (.npz, NetCDF) with inputs, teacher and student, or "
        "'paper' for those of the paper with network.seed 0 to 5; if empty, they are drawn anew",
    )
    algorithm: str = key(
        "varpro",
        "training algorithm: varpro, two-timescale, joint (one rate for both layers), flow "
        "(gradient flow with adaptive steps), or fixed (the features do not move)",
    )
    step: float = key(2.0**-10, "length of a training step", "time")
    ratio: float = key(
        1.0, "steps of the outer weights for each step of the features, in 'two-timescale'"
    )
    rtol: float = key(1e-5, "error that a step of the algorithm 'flow' may make", "length")
    seed: int = key(0, "seed of all random numbers")
    placement: str = key(
        "random",
        "how the student's neurons are placed: random, even (on a lattice, with the density as "
        "their masses), or quantile (at quantiles, in one dimension or along problem.axis)",
    )
    teacher_placement: str = key(
        "", "how the teacher's neurons are placed; if empty, as the student's"
    )

    @property
    def pace(self) -> str:
        """The key that sets the time steps and its value, such as "step 0.001"."""
        return f"rtol {self.rtol:.0e}" if self.algorithm == "flow" else f"step {self.step:.3g}"

    def __post_init__(self) -> None:
        settle_types("network", self)
        for name in ("width", "samples", "teacher_width", "truncation", "step", "ratio"):
            positive(f"network.{name}", getattr(self, name))
        positive("network.lambda", self.regularisation)
        one_of("network.kernel", self.kernel, KERNELS)
        one_of("network.algorithm", self.algorithm, ALGORITHMS)
        one_of("network.placement", self.placement, PLACEMENTS)
        if self.teacher_placement:
            one_of("network.teacher_placement", self.teacher_placement, PLACEMENTS)
        if not 0 < self.rtol < 1:
            raise InputError(f"network.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.seed < 0:
            raise InputError(f"network.seed must not be negative, but is {self.seed}.")
        require_settings(
            self.kernel, self.draws, self.inputs, self.labels, self.noise, self.held_out
        )
        if self.draws and self.kernel != "sampled":
            raise InputError(
                "network.draws gives the inputs of network.kernel = 'sampled'; the kernel "
                f"'{self.kernel}' has none."
            )
