"""A cache of runs: each run is done once, stored in a file, and the runs are spread over the ranks.

The name of a run's file is a hash of everything that determines the result: the settings, the
values of a user's own densities, features and other parts, and the code of this package. So a study
that was killed continues with the results that it already has, and a changed study does only the
new runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Interrupted, RunFailure, Unwritable
from uf_diffusion.core.progress import progress, progress_as
from uf_diffusion.core.signals import delayed_signals
from uf_diffusion.results.netcdf import read_sealed, write_result
from uf_diffusion.runs.config import Config, DiffusionConfig, NetworkConfig
from uf_diffusion.runs.fingerprint import code, fingerprint, own_parts
from uf_diffusion.runs.inputs import require_density
from uf_diffusion.runs.jobs import compare, follow, solve, spectrum, train
from uf_diffusion.runs.limit import settled_limit
from uf_diffusion.runs.mean_field import kernel_at_nodes
from uf_diffusion.runs.over_time import measure_both, measure_diffusion, measure_network
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import training

__all__ = ["BEGINNINGS", "WORK", "Failure", "Run", "Runs", "settings_read"]

# the job of a run, by its name; it takes the run's setup and the results of its parts
WORK: dict[str, Callable[..., Result]] = {
    "solve": partial(solve, cautious=False),
    "train": partial(train, cautious=False),
    "compare": partial(compare, cautious=False),
    "follow": follow,
    "spectrum": partial(spectrum, cautious=False),
    "measure diffusion": measure_diffusion,
    "measure network": measure_network,
    "measure both": measure_both,
}


def _can_solve(setup: Setup) -> None:
    require_density(setup)
    _ = setup.problem.teacher, setup.grid
    if setup.config.problem.limit == "mean-field":
        kernel_at_nodes(_cheap(setup))


def _can_train(setup: Setup) -> None:
    training(_cheap(setup))


def _cheap(setup: Setup) -> Setup:
    """The run without a truncation, which takes long."""
    config = setup.config
    if config.network.kernel != "low-rank":
        return setup
    return setup.described_by(replace(config, network=replace(config.network, kernel="sampled")))


def _can_compare(setup: Setup) -> None:
    _can_solve(setup)
    _can_train(setup)


def _can_follow(setup: Setup) -> None:
    require_density(setup)
    _can_train(setup)


# what each job does at first: an InputError tells that its run cannot begin
BEGINNINGS: dict[str, Callable[[Setup], None]] = {
    "solve": _can_solve,
    "train": _can_train,
    "compare": _can_compare,
    "follow": _can_follow,
    "spectrum": _can_solve,
}


@dataclass(frozen=True)
class Run:
    """A job to do with a configuration.

    Attributes:
        job: what to do, a name in `WORK`.
        config: the configuration; its limit "auto" is replaced by that of its features.
        given: a setup with objects that the caller has made; None if the configuration makes all.
        parts: the runs whose stored results the job takes, and which it depends on alone.

    Raises:
        InputError: as `settled_limit`.
    """

    job: str
    config: Config
    given: Setup | None = None
    parts: tuple[Run, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", settled_limit(self.setup).config)

    @property
    def setup(self) -> Setup:
        """The objects of the run, none of them built yet."""
        return Setup(self.config) if self.given is None else self.given.described_by(self.config)

    @cached_property
    def key(self) -> str:
        """A hash of the job, the settings that the job reads, the code of this package, and the
        `fingerprint` of what the user can edit. Built-in parts are determined by settings and code.
        Of a run with parts, it is a hash of the job, the code and the keys of the parts.
        """
        words = [self.job, code(), *(part.key for part in self.parts)]
        if not self.parts:
            config, inputs = settings_read(self.job, self.config), dict[str, str]()
            if self.given is not None or own_parts(config):
                with suppress(InputError):  # which the run will report
                    inputs = fingerprint(replace(self, config=config).setup, self.job)
            words += [config.to_toml(), json.dumps(inputs)]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:20]

    @property
    def solves(self) -> bool:
        """Whether the run solves the PDE, which needs DOLFINx."""
        if self.parts:
            return False
        if self.job == "follow":
            return Setup(self.config).problem.teacher.has_values
        return self.job != "train"


def settings_read(job: str, config: Config) -> Config:
    """The configuration with all settings that a job does not read set to their defaults."""
    if job == "train":
        problem = replace(config.problem, limit="unconstrained")
        diffusion = DiffusionConfig(snapshots=config.diffusion.snapshots)
        return replace(config, problem=problem, diffusion=diffusion)
    if job == "solve":
        return replace(config, network=_kernel(config))
    return config


def _kernel(config: Config) -> NetworkConfig:
    """The settings of the network that an equation reads: none, or those of its kernel."""
    c = config.network
    if config.problem.limit == "unconstrained":
        return NetworkConfig(features=c.features)
    features = NetworkConfig(
        features=c.features, scale=c.scale, profile=c.profile, activation=c.activation,
        slope=c.slope, bias=c.bias, inputs=c.inputs,
    )  # fmt: skip
    if config.problem.limit != "mean-field":
        return features
    kernel = replace(features, regularisation=c.regularisation, kernel=c.kernel)
    if c.kernel == "population":
        return kernel
    if c.kernel == "low-rank":
        return replace(kernel, truncation=c.truncation, seed=c.seed)
    plain = NetworkConfig()  # the inputs are drawn after the neurons
    return replace(
        c, truncation=plain.truncation, algorithm=plain.algorithm, step=plain.step,
        ratio=plain.ratio, rtol=plain.rtol,
    )  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Attributes:
        run: the run.
        reason: why it failed, in one sentence.
    """

    run: Run
    reason: str


type Each = Callable[[Run, Result | Failure], None]


@dataclass(frozen=True)
class Runs:
    """A folder with the results of runs, each in a file ``<key>.nc``.

    Attributes:
        folder: the folder, created when needed; all ranks must have access to it.
    """

    folder: Path

    def results(
        self, runs: Sequence[Run], each: Each | None = None, keep: bool = True
    ) -> list[Result | Failure]:
        """Do the runs whose results are not stored yet. Call it on all ranks.

        Equal runs are done once; a run whose file is there and undamaged is not repeated. Each run
        is done by a single rank. Rank 0 starts from the end of the list, so that no rank is idle
        while there are runs left.

        Args:
            runs: the runs.
            each: called on rank 0 with each run and its result, as soon as it is known.
            keep: whether the results stay in memory; otherwise their trees are empty.

        Returns:
            On rank 0 the result or the failure of each run, in the order of ``runs``; an empty list
            on the other ranks.

        Raises:
            Interrupted: on all ranks, after Ctrl-C or SIGTERM, once the runs in progress have
                ended (a second Ctrl-C does not wait for them); the message says how to continue.
            Unwritable: on all ranks, when a result cannot be written.
            InputError: on all ranks, when the folder cannot be made, or when a missing run needs
                the PDE side and that is not usable.
        """
        mpi.on_root(self._make_folder)
        if mpi.from_root(lambda: any(r.solves and not self._path(r).exists() for r in runs)):
            from uf_diffusion.diffusion.compilation import require_compiler

            require_compiler()  # for all of them, instead of a failure of each
        found: list[Result | Failure] = []
        stop = None
        with delayed_signals(ignored=mpi.rank() > 0) as heard:
            try:
                if mpi.size() > 1:
                    found = self._spread(runs, heard, each, keep)
                else:
                    found = self._in_order(runs, heard, each, keep)
            except (Interrupted, Unwritable) as error:
                stop = error
        stop = mpi.broadcast(stop)
        if stop is not None:
            raise stop
        return found

    def stored(self, run: Run) -> Result | None:
        """The stored result of a run; None if its file is missing or damaged."""
        try:
            return Result(run.setup, read_sealed(self._path(run)))
        except InputError:
            return None

    def attempt(self, run: Run) -> Result | Failure:
        """Do a run on this rank and store its result; an error of the run becomes a `Failure`.

        Raises:
            Unwritable: when the result cannot be written.
        """
        try:
            parts = [Result(p.setup, read_sealed(self._path(p))) for p in run.parts]
            result = WORK[run.job](run.setup, *parts)
            write_result(self._path(run), result.tree)
        except Unwritable:  # the results of the other runs could not be stored either
            raise
        except (InputError, RunFailure) as error:
            return Failure(run, " ".join(str(error).split()))
        except Exception as error:  # an unexpected error must not stop the other runs
            return Failure(run, " ".join(f"{type(error).__name__}: {error}".split()))
        return result

    def _path(self, run: Run) -> Path:
        return self.folder / f"{run.key}.nc"

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot write to '{self.folder}': {error.strerror}.") from None

    def _spread(
        self, runs: Sequence[Run], heard: list[int], each: Each | None, keep: bool
    ) -> list[Result | Failure]:
        """As `_in_order`, with the other ranks as a pool of workers, which have the same runs."""
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor

        _start_solvers()
        mute = progress_as("nothing") if mpi.rank() else nullcontext()
        with _everywhere(runs), mute, mpi.alone(), MPICommExecutor(MPI.COMM_WORLD) as pool:
            return [] if pool is None else self._in_order(runs, heard, each, keep, pool)

    def _in_order(
        self, runs: Sequence[Run], heard: list[int], each: Each | None, keep: bool, pool: Any = None
    ) -> list[Result | Failure]:
        wanted = {run.key: run for run in runs}
        stored = ((key, self.stored(run)) for key, run in wanted.items())
        found: dict[str, Any] = {
            key: result if keep else _emptied(result)
            for key, result in stored if result is not None
        }  # fmt: skip
        missing = [run for key, run in wanted.items() if key not in found]
        tell = each or (lambda run, result: None)
        for key, result in found.items():
            tell(wanted[key], result)
        try:
            with progress(len(wanted), "runs", len(found)) as reached:
                for run, result in self._attempts(missing, runs, pool):
                    found[run.key] = result if keep else _emptied(result)
                    tell(run, result)
                    reached(len(found))
                    if heard:
                        raise KeyboardInterrupt
        except (KeyboardInterrupt, Unwritable) as stop:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(stop, Unwritable):
                raise
            raise Interrupted(
                f"Interrupted with {len(found)} of {len(wanted)} runs done; "
                "the same command goes on from there."
            ) from None
        return [found[run.key] for run in runs]

    def _attempts(
        self, missing: Sequence[Run], runs: Sequence[Run], pool: Any
    ) -> Iterator[tuple[Run, Result | Failure]]:
        if pool is None:
            for run in missing:
                yield run, self.attempt(run)
            return
        number = {id(run): k for k, run in enumerate(runs)}
        waiting = {pool.submit(_attempt_here, self, number[id(run)]): run for run in missing}
        while waiting:
            for future in [f for f in waiting if f.done()]:
                run, found = waiting.pop(future), future.result()
                failed = isinstance(found, str)
                yield run, Failure(run, found) if failed else Result(run.setup, found)
            last = next(reversed(waiting), None)
            if last is not None and last.cancel():  # true only if no other rank has started it
                run = waiting.pop(last)
                yield run, self.attempt(run)
            else:
                wait(waiting, return_when=FIRST_COMPLETED)


def _emptied(result: Result | Failure) -> Result | Failure:
    """A result without its arrays."""
    return result if isinstance(result, Failure) else Result(result.setup, xr.DataTree())


_runs_here: Sequence[Run] = ()  # of this rank, while the ranks share them, see `_everywhere`


@contextmanager
def _everywhere(runs: Sequence[Run]) -> Iterator[None]:
    """A context in which other ranks name a run by its number, because a run with objects of the
    caller, such as functions, cannot always be sent.
    """
    global _runs_here
    _runs_here = runs
    try:
        yield
    finally:
        _runs_here = ()


def _attempt_here(store: Runs, number: int) -> xr.DataTree | str:
    """Do a run on this rank; the tree of its result, or the reason why it failed."""
    found = store.attempt(_runs_here[number])
    return found.reason if isinstance(found, Failure) else found.tree


def _start_solvers() -> None:
    """Initialise PETSc and SLEPc, which all ranks must do together."""
    with suppress(InputError):  # if they are missing, the runs that need them report it
        import uf_diffusion.diffusion.spectrum  # noqa: F401
