"""Training of a feature network and its outer layer with minibatches, as an iterator of states.

A `TrainingState` holds everything that the next one depends on: the order of the inputs and the
random numbers of a step follow from the seed and the number of the step, so that a run that goes on
from a stored state has identical bits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.reprs import one_line
from uf_diffusion.deep.data import Labelled
from uf_diffusion.deep.projection import outputs, projected_risk, risk
from uf_diffusion.problem.divergences import BIASED, Divergence

__all__ = ["Joint", "Method", "Training", "TrainingState", "VarPro", "accuracy"]

CHUNK = 1024  # inputs whose features are computed at once for a test


class TrainingState(eqx.Module):
    """A network between two steps.

    Attributes:
        step: number of steps so far.
        network: the feature network.
        norm: the running statistics of its normalisation.
        outer: the outer layer W, ``(p, outputs)``.
        optimiser: the state of the optimiser.
        risk: the risk of the last minibatch before its step, dimensionless; NaN at the start.
    """

    step: int
    network: Any
    norm: eqx.nn.State
    outer: jax.Array
    optimiser: Any
    risk: jax.Array

    def __repr__(self) -> str:
        return one_line("TrainingState", step=self.step, risk=float(self.risk))


@dataclass(frozen=True)
class Risk:
    """The risk that is minimised, with the arguments of `uf_diffusion.deep.projection.risk`."""

    regularisation: float
    divergence: Divergence

    def __call__(self, features: jax.Array, targets: jax.Array, outer: jax.Array) -> jax.Array:
        """The risk of an outer layer, a scalar."""
        return risk(features, targets, outer, self.regularisation, self.divergence)

    def projected(
        self, features: jax.Array, targets: jax.Array, previous: jax.Array, momentum: float
    ) -> tuple[jax.Array, jax.Array]:
        """As `projected_risk`."""
        return projected_risk(
            features, targets, self.regularisation, self.divergence, previous, momentum
        )  # fmt: skip


@dataclass(frozen=True)
class Method(ABC):
    """A way of training both layers.

    Attributes:
        optimiser: a transformation of Optax, which gets the gradients of what it trains.
    """

    optimiser: optax.GradientTransformation

    @abstractmethod
    def trained(self, network: Any, outer: jax.Array) -> Any:
        """What the optimiser trains, of the arrays of the network and the outer layer."""

    @abstractmethod
    def move(
        self, state: TrainingState, inputs: jax.Array, targets: jax.Array, measured: Risk
    ) -> TrainingState:
        """The state after a step on inputs ``(n, ...)`` and targets ``(n, outputs)``."""


@dataclass(frozen=True)
class VarPro(Method):
    """Steps of the features along the gradient of the projected risk of a minibatch.

    Attributes:
        momentum: the part of the outer layer that is kept in a step, in [0, 1).
    """

    momentum: float = 0.5

    def trained(self, network: Any, outer: jax.Array) -> Any:
        return network

    def move(
        self, state: TrainingState, inputs: jax.Array, targets: jax.Array, measured: Risk
    ) -> TrainingState:
        @eqx.filter_value_and_grad(has_aux=True)
        def loss(network: Any) -> Any:
            features, norm = network(inputs, state.norm)
            value, outer = measured.projected(features, targets, state.outer, self.momentum)
            return value, (norm, outer)

        (value, (norm, outer)), gradient = loss(state.network)
        network, optimiser = _updated(self.optimiser, state.network, gradient, state.optimiser)
        return TrainingState(state.step, network, norm, outer, optimiser, value)


@dataclass(frozen=True)
class Joint(Method):
    """Steps of the features and the outer layer along the gradients of the risk of a minibatch."""

    def trained(self, network: Any, outer: jax.Array) -> Any:
        return network, outer

    def move(
        self, state: TrainingState, inputs: jax.Array, targets: jax.Array, measured: Risk
    ) -> TrainingState:
        @eqx.filter_value_and_grad(has_aux=True)
        def loss(both: Any) -> Any:
            network, outer = both
            features, norm = network(inputs, state.norm)
            return measured(features, targets, outer), norm

        (value, norm), gradient = loss((state.network, state.outer))
        (network, outer), optimiser = _updated(
            self.optimiser, (state.network, state.outer), gradient, state.optimiser
        )
        return TrainingState(state.step, network, norm, outer, optimiser, value)


@dataclass(frozen=True)
class Training:
    """A training: what is learnt, and how.

    Attributes:
        data: inputs and targets.
        method: the method.
        batch: inputs of a minibatch; the last one of an epoch has those that are left.
        regularisation: lambda > 0.
        divergence: f, BIASED or UNBIASED.
        seed: of the order of the inputs, the augmentation, and the outer layer at the start.
        augment: a function of a key of `jax.random` and images ``(n, channels, h, w)`` that returns
            images of the same shape; None for none.
        double: whether to compute in double precision; the network must have been made in it, too.

    Raises:
        InputError: for a batch that is not positive, or a seed outside [0, 2^32).
    """

    data: Labelled
    method: Method
    batch: int
    regularisation: float = 1e-3
    divergence: Divergence = BIASED
    seed: int = 0
    augment: Callable[[Any, jax.Array], jax.Array] | None = None
    double: bool = False
    _orders: dict[int, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"A minibatch needs at least one input, not {self.batch}.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"A seed lies in [0, 2^32), unlike {self.seed}.")

    @property
    def epoch(self) -> int:
        """The number of steps in which every input is used once."""
        return math.ceil(self.data.size / self.batch)

    def start(
        self, network: Any, norm: eqx.nn.State | None = None, outer: jax.Array | None = None
    ) -> TrainingState:
        """The state before the first step.

        Args:
            network: a `FeatureNetwork`.
            norm: the state of its normalisation; None if it has none.
            outer: the outer layer ``(p, outputs)``; by default that of a linear layer, uniform in
                +-p^(-1/2).
        """
        with self.precision():
            if outer is None:
                shape, bound = (network.width, self.data.outputs), network.width**-0.5
                key = jax.random.fold_in(jax.random.key(self.seed), 2)
                outer = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
            trained = eqx.filter(self.method.trained(network, outer), eqx.is_inexact_array)
            norm = eqx.nn.State(network) if norm is None else norm
            optimiser = self.method.optimiser.init(trained)
            unknown = jnp.full((), jnp.nan, outer.dtype)
            return TrainingState(0, network, norm, outer, optimiser, unknown)

    def step(self, state: TrainingState) -> TrainingState:
        """The next state. Its risk is computed when it is looked at, which waits for the step."""
        epoch, k = divmod(state.step, self.epoch)
        with self.precision():
            rows = self._order(epoch)[k * self.batch : (k + 1) * self.batch]
            measured = Risk(self.regularisation, self.divergence)
            bare = replace(state, step=0)  # a number is part of what is compiled
            seeds = np.array([self.seed, state.step], dtype=np.uint32)
            moved = _moved(self.method, measured, self.augment, self.data, bare, rows, seeds)
        return replace(moved, step=state.step + 1)

    def iterate(self, state: TrainingState, epochs: int) -> Iterator[TrainingState]:
        """Iterate over ``state`` and its successors up to the end of this many epochs in all.

        Raises:
            RunFailure: at the end of an epoch in which the risk was not finite.
        """
        yield state
        while state.step < epochs * self.epoch:
            state = self.step(state)
            if state.step % self.epoch == 0 and not math.isfinite(state.risk):
                raise RunFailure(
                    f"Training left the finite numbers before step {state.step}; use a smaller "
                    "learning rate or a larger regularisation."
                )
            yield state

    def precision(self) -> AbstractContextManager[Any]:
        """A context in which JAX makes arrays in the precision of this training."""
        return jax.enable_x64(self.double)

    def _order(self, epoch: int) -> Any:
        """The order of the inputs in an epoch, ``(N,)``."""
        if epoch not in self._orders:
            self._orders.clear()
            order = np.random.default_rng([self.seed, epoch]).permutation(self.data.size)
            self._orders[epoch] = order.astype(np.int32)
        return self._orders[epoch]


def accuracy(state: TrainingState, data: Labelled) -> float:
    """The part of the inputs whose largest output is that of their class, in [0, 1]."""
    right = 0
    with jax.enable_x64(state.outer.dtype == jnp.float64):
        for begin in range(0, data.size, CHUNK):
            inputs, targets = (a[begin : begin + CHUNK] for a in (data.inputs, data.targets))
            inputs = data.prepared(inputs)
            right += int(_right(state.network, state.norm, state.outer, inputs, targets))
    return right / data.size


@eqx.filter_jit
def _moved(
    method: Method, measured: Risk, augment: Any, data: Labelled, state: TrainingState,
    rows: jax.Array, seeds: jax.Array,
) -> TrainingState:  # fmt: skip
    """The state after a step on some rows of the data. It is compiled once for equal methods."""
    inputs = data.inputs[rows]
    if augment is not None:
        key = jax.random.fold_in(jax.random.key(seeds[0]), 1)
        inputs = augment(jax.random.fold_in(key, seeds[1]), inputs)
    return method.move(state, data.prepared(inputs), data.targets[rows], measured)


@eqx.filter_jit
def _right(network: Any, norm: Any, outer: jax.Array, inputs: jax.Array, targets: jax.Array) -> Any:
    features, _ = network(inputs, norm, inference=True)
    return jnp.sum(jnp.argmax(outputs(features, outer), axis=1) == jnp.argmax(targets, axis=1))


def _updated(
    optimiser: optax.GradientTransformation, trained: Any, gradient: Any, state: Any
) -> tuple[Any, Any]:
    """What is trained after an update along its gradient, and the optimiser's next state."""
    arrays = eqx.filter(trained, eqx.is_inexact_array)
    updates, state = optimiser.update(gradient, state, arrays)
    return eqx.apply_updates(trained, updates), state
