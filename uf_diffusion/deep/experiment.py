"""The experiment of section 6.2: methods and batch sizes, one network each, with several seeds.

Settings of the paper: VarPro by plain gradient descent with the rate p lambda, for p features, and
momentum 1/2 of the outer layer; SGD of both layers with the same rate and momentum 0.9; Shampoo
with ten times this rate; the rates are halved in the last epochs. Source: arXiv:2504.18208.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import jax
import numpy as np
import optax
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.deep.augmentation import crop_and_flip
from uf_diffusion.deep.data import Labelled
from uf_diffusion.deep.networks import narrow, resnet20
from uf_diffusion.deep.shampoo import shampoo
from uf_diffusion.deep.training import Joint, Method, Training, TrainingState, VarPro, accuracy
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.keys import toml_of

__all__ = ["CIFAR", "DIGITS", "METHODS", "Experiment", "History", "Run", "joined"]

METHODS = ("VarPro", "SGD", "Shampoo")
REGULARISATION = 1e-3
TWICE = 2  # passes over a minibatch in a step of VarPro, see `ResNet`


@dataclass(frozen=True)
class Experiment:
    """What is trained.

    Attributes:
        name: "digits" or "cifar".
        network: makes a network and the state of its normalisation from a key and passes.
        features: the number p of its features.
        augment: as in `Training`.
        batches: the batch sizes.
        epochs: passes over the data.
        slower: how many of them, the last ones, have half the rate.
        seeds: number of runs of each method and batch size.

    Raises:
        InputError: for a number that is not positive, or a batch size that stands twice.
    """

    name: str
    network: Callable[[Any, int], tuple[Any, Any]]
    features: int
    augment: Callable[[Any, jax.Array], jax.Array] | None
    batches: tuple[int, ...]
    epochs: int
    slower: int
    seeds: int

    def __post_init__(self) -> None:
        if min(self.epochs, self.seeds, *self.batches, len(self.batches)) < 1:
            raise InputError("Epochs, seeds and batch sizes must be positive.")
        if len(set(self.batches)) < len(self.batches):
            raise InputError("Each batch size can be given once.")

    @property
    def runs(self) -> list[Run]:
        """All runs; those with equal methods follow each other, as they are compiled once."""
        every = product(METHODS, self.batches, range(self.seeds))
        return [Run(self, *one) for one in every]

    def to_toml(self) -> str:
        """The settings as text."""
        kept = {
            "experiment": self.name, "batches": list(self.batches), "epochs": self.epochs,
            "slower": self.slower, "seeds": self.seeds, "regularisation": REGULARISATION,
        }  # fmt: skip
        return "".join(f"{name} = {toml_of(value)}\n" for name, value in kept.items())


DIGITS = Experiment("digits", narrow, 32, None, (16, 32, 64, 128, 256), 16, 2, 5)
CIFAR = Experiment("cifar", resnet20, 64, crop_and_flip, (64, 128, 256, 512, 1024), 110, 10, 1)


@dataclass(frozen=True)
class Run:
    """A network of an experiment that is trained once.

    Attributes:
        experiment: the experiment.
        method: a name in `METHODS`.
        batch: inputs of a minibatch.
        seed: of the first weights, the order of the inputs, and the augmentation.
    """

    experiment: Experiment
    method: str
    batch: int
    seed: int

    @property
    def name(self) -> str:
        """The name of the run's files."""
        return f"{self.method.lower()}-{self.batch}-{self.seed}"

    def training(self, data: Labelled) -> Training:
        """The training on some data."""
        e = self.experiment
        steps = -(-data.size // self.batch) * max(e.epochs - e.slower, 0)
        method = _method(self.method, e.features * REGULARISATION, steps)
        return Training(
            data, method, self.batch, REGULARISATION, seed=self.seed, augment=e.augment
        )  # fmt: skip

    def start(self, training: Training) -> TrainingState:
        """The state before the first step."""
        passes = TWICE if self.method == "VarPro" else 1
        key = jax.random.fold_in(jax.random.key(self.seed), 0)
        return training.start(*self.experiment.network(key, passes))


@cache
def _method(name: str, rate: float, steps: int) -> Method:
    """A method whose rate is halved after some steps; equal ones are one object, compiled once."""

    def falling(first: float) -> optax.Schedule:
        return optax.piecewise_constant_schedule(first, {steps: 0.5})

    if name == "VarPro":
        return VarPro(optax.sgd(falling(rate)))
    if name == "SGD":
        return Joint(optax.sgd(falling(rate), momentum=0.9))
    return Joint(shampoo(falling(10 * rate)))


class History:
    """Records the risk of each step, and after each epoch the accuracy of the test.

    Args:
        training: the training.
        test: the data of the test.
        stored: the history up to the state from which the training goes on; None at the start.
    """

    def __init__(self, training: Training, test: Labelled, stored: xr.Dataset | None = None):
        self._epoch, self._test = training.epoch, test
        self._risks: list[Any] = [] if stored is None else list(stored.step_risk.values)
        self._accuracies: list[float] = [] if stored is None else list(stored.accuracy.values)

    def __call__(self, state: TrainingState) -> None:
        """Look at a state; one that has been recorded already changes nothing."""
        if state.step > len(self._risks):
            self._risks.append(state.risk)
        if state.step == len(self._accuracies) * self._epoch:
            self._risks = [float(risk) for risk in self._risks]
            self._accuracies.append(accuracy(state, self._test))

    def pack(self) -> xr.Dataset:
        """What is known so far."""
        risks = np.array([float(risk) for risk in self._risks])
        return xr.Dataset(
            {"step_risk": ("step", risks), "accuracy": ("epoch", np.array(self._accuracies))}
        )

    def result(self, epochs: int) -> xr.Dataset:
        """Accuracy and mean risk after each epoch, NaN after the last one that was completed.

        At the start the risk is that of the first step, before it.
        """
        risks = np.array([float(risk) for risk in self._risks])
        done = len(risks) // self._epoch * self._epoch
        means = risks[:done].reshape(-1, self._epoch).mean(axis=1)

        def padded(values: Any) -> Any:
            return np.append(values, np.full(epochs + 1 - len(values), np.nan))

        return dataset(
            accuracy=(("epoch",), padded(self._accuracies)),
            minibatch_risk=(("epoch",), padded(np.append(risks[:1], means))),
        )


def joined(experiment: Experiment, found: Sequence[xr.Dataset]) -> xr.Dataset:
    """The results of all runs with the dimensions method, batch, seed and epoch."""
    shape = (len(METHODS), len(experiment.batches), experiment.seeds, -1)
    dims = ("method", "batch", "seed", "epoch")
    values = {
        name: (dims, np.array([one[name].values for one in found]).reshape(shape))
        for name in ("accuracy", "minibatch_risk")
    }
    named = dataset(
        **values, method=(("method",), list(METHODS)), batch=(("batch",), experiment.batches),
        seed=(("seed",), range(experiment.seeds)), epoch=(("epoch",), range(experiment.epochs + 1)),
    )  # fmt: skip
    return named.set_coords(dims)
