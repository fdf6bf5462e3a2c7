"""Studies: one parameter takes several values, quantities are measured, and their order is fitted.

`Study.plan` lists the runs of a study, `studies.cache.Runs` does them, and `Plan.measured` measures
the results. The dataset that it returns contains everything that the table and the figure show.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.config import Changes, Config, merged
from uf_diffusion.runs.reading import change_of, changes_of, load_config
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import BEGINNINGS, Failure, Run
from uf_diffusion.studies.measurements import Measurement
from uf_diffusion.studies.orders import Law, extrapolated, fit, local_orders, spread

__all__ = ["Plan", "Quantity", "Series", "Study", "numbers"]

Results = Sequence[Result | Failure]


@dataclass(frozen=True)
class Quantity:
    """A quantity that a study measures.

    Attributes:
        name: the variable in study.nc, described in `uf_diffusion.results.names.LONG_NAMES`.
        measure: computes it from a run's result, the reference's result and the swept value.
        floor: what the quantity cannot resolve in a run, measured likewise; for a network and a
            density their distance at t = 0, where both are the initial density.
    """

    name: str
    measure: Measurement
    floor: Measurement | None = None


@dataclass(frozen=True)
class Series:
    """One curve of a study.

    Attributes:
        name: the name in the legend.
        changes: the settings in which this curve differs from the study's settings.
        seeds: number of runs for each value; 1 when nothing is random.
        expected: the order that theory predicts; NaN when it predicts none.
        preset: the preset of this curve's problem; empty for the study's preset.
    """

    name: str
    changes: Changes = field(default_factory=dict)
    seeds: int = 1
    expected: float = math.nan
    preset: str = ""


@dataclass(frozen=True)
class Study:
    """A convergence study.

    Attributes:
        name: the name on the command line.
        what: a title that says what is measured and what theory predicts.
        preset: the preset of the problem.
        problem: changes to the preset; they do not apply when the user gives another problem.
        changes: changes that apply to every problem.
        job: the job of a run, a name in `studies.cache.WORK`.
        parameter: the swept setting, "section.key"; empty if the values are not settings but are
            passed to the measurements only.
        label: the label of the horizontal axis.
        values: the values of the parameter.
        quantities: the quantities to measure.
        series: the curves.
        reference_job: the job of the reference run; empty if there is no reference.
        reference: maps all values to the changes that make a run's settings, without the swept
            value, into those of its reference. Equal references are computed once.
        of_runs: settings of the runs that their references do not have.
        given: the curves for a problem that the user gives, where every curve has its own preset;
            empty for a single curve.
        abscissa: maps a run's configuration and value to the abscissa of the fit.
        law: the law that is fitted, "power" or "exponential".
    """

    name: str
    what: str
    preset: str
    problem: Changes
    changes: Changes
    job: str
    parameter: str
    label: str
    values: tuple[float, ...]
    quantities: tuple[Quantity, ...]
    series: tuple[Series, ...]
    reference_job: str = ""
    reference: Callable[[Sequence[float]], Changes] = lambda values: {}
    of_runs: Changes = field(default_factory=dict)
    given: tuple[Series, ...] = ()
    abscissa: Callable[[Config, float], float] = lambda config, value: value
    law: Law = "power"

    def plan(
        self,
        source: str = "",
        overrides: Sequence[str] = (),
        values: Sequence[float] = (),
        seeds: int | None = None,
        changes: Changes | None = None,
    ) -> Plan:
        """The runs of this study.

        Args:
            source: a preset or TOML file that replaces the study's preset. If every curve of the
                study has its own preset, the curves are then `given`.
            overrides: settings "section.key=value" that override those of the study.
            values: values that replace the study's.
            seeds: number of seeds for the curves that are random.
            changes: settings that override all others.

        Raises:
            InputError: for invalid settings, values that are repeated or (for a power law) not
                positive, or seeds for a study in which nothing is random.
        """
        curves = self._curves(source, seeds)
        chosen = tuple(values or self.values)
        if self.law == "power" and min(chosen) <= 0:
            raise InputError(f"Study '{self.name}' sweeps over positive values, not {min(chosen)}.")
        if len({*chosen}) < len(chosen):
            raise InputError(f"Study '{self.name}' takes each value once, not {shown(chosen)}.")
        common = merged({} if source else self.problem, self.changes)
        wanted = merged(changes_of(overrides), changes or {})
        base = _changed(source or self.preset, common, wanted)
        cases = []
        for i, curve in enumerate(curves):
            origin = source or curve.preset or self.preset
            for j in range(curve.seeds):
                seed = {"network": {"seed": base.network.seed + j}}
                own = (common, curve.changes, wanted, seed)
                reference = None
                if self.reference_job:
                    config = _changed(origin, *own, self.reference(chosen))
                    drawn = (config.network.placement, config.network.teacher_placement)
                    if self.reference_job != "solve" and "random" in drawn:
                        config = config.changed(**seed)  # the neurons of the run
                    reference = Run(self.reference_job, config)
                for k, value in enumerate(chosen):
                    swept = change_of(self.parameter, value) if self.parameter else {}
                    run = Run(self.job, _changed(origin, *own, self.of_runs, swept))
                    cases.append(Case((i, k, j), run, reference))
        return Plan(self, base, chosen, curves, tuple(cases))

    def _curves(self, source: str, seeds: int | None) -> tuple[Series, ...]:
        """The curves for a given source and number of seeds."""
        curves = self.series
        if source and all(c.preset for c in curves):
            curves = self.given or (Series(source, expected=curves[0].expected),)
        if seeds is None:
            return curves
        if seeds < 1:
            raise InputError(f"--seeds must be positive, not {seeds}.")
        if all(c.seeds == 1 for c in curves):
            raise InputError(f"Nothing is random in study '{self.name}': it takes no --seeds.")
        return tuple(dataclasses.replace(c, seeds=seeds if c.seeds > 1 else 1) for c in curves)


@dataclass(frozen=True)
class Case:
    """A run to be measured, and the reference with which it is compared.

    Attributes:
        place: the indices of its series, value and seed.
        run: the run.
        reference: the reference run; None if there is none.
    """

    place: tuple[int, int, int]
    run: Run
    reference: Run | None


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        study: the study.
        base: the configuration on which all runs are based.
        values: the values of the parameter.
        series: the curves.
        cases: the runs with their references, ordered by series, seed and value.
    """

    study: Study
    base: Config
    values: tuple[float, ...]
    series: tuple[Series, ...]
    cases: tuple[Case, ...]

    @property
    def runs(self) -> list[Run]:
        """The references, followed by the runs; some of them may be equal."""
        references = [c.reference for c in self.cases if c.reference is not None]
        return [*references, *(c.run for c in self.cases)]

    def require_possible(self) -> None:
        """Refuse a plan of which no run can begin. Call it on all ranks.

        Raises:
            InputError: with the reason why the first run, or its reference, cannot begin.
        """
        reasons = (_reason(case) for case in self.cases if case.place[2] == 0)
        first = next(reasons)
        if first and all(reasons):
            raise InputError(f"Study '{self.study.name}' is not possible for this problem: {first}")

    def failures(self, results: Results) -> list[str]:
        """A sentence for each reason why runs failed, with the first of these runs.

        Args:
            results: the results of `runs`, in that order.
        """
        names: dict[str, str] = {}
        for case in self.cases:
            i, k, j = case.place
            curve = self.series[i]
            drawn = f", seed {j}" if curve.seeds > 1 else ""
            swept = f", {self.study.parameter} = {self.values[k]:g}" if self.study.parameter else ""
            names.setdefault(case.run.key, f"{curve.name}{swept}{drawn}")
            if case.reference is not None:
                names.setdefault(case.reference.key, f"reference of {curve.name}{drawn}")
        failed: dict[str, list[str]] = {}
        for key, reason in {r.run.key: r.reason for r in results if isinstance(r, Failure)}.items():
            failed.setdefault(reason, []).append(names[key])
        return [
            f"{first}{f' and {len(others)} more' if others else ''}: {reason}"
            for reason, (first, *others) in failed.items()
        ]

    def measured(self, results: Results) -> xr.Dataset:
        """The dataset of study.nc: the quantities, NaN where a run failed, and the fits.

        Args:
            results: the results of `runs`, in that order.
        """
        study, seeds = self.study, max(c.seeds for c in self.series)
        by_key = dict(zip((run.key for run in self.runs), results, strict=True))
        shape = (len(self.series), len(self.values), seeds)
        values = {q.name: np.full(shape, math.nan) for q in study.quantities}
        floors = {q.name: np.full(shape, math.nan) for q in study.quantities}
        abscissa = np.full(shape[:2], math.nan)
        for case in self.cases:
            i, k, _ = case.place
            value = self.values[k]
            abscissa[i, k] = study.abscissa(case.run.config, value)
            result = by_key[case.run.key]
            reference = result if case.reference is None else by_key[case.reference.key]
            if not isinstance(result, Failure) and not isinstance(reference, Failure):
                for q in study.quantities:
                    values[q.name][case.place] = q.measure(result, reference, value)
                    if q.floor is not None:
                        floors[q.name][case.place] = q.floor(result, reference, value)
        highest = [[spread(y)[2] for y in floor] for floor in floors.values()]
        return self._dataset(abscissa, values, highest)

    def _dataset(
        self, abscissa: np.ndarray[Any, Any], values: dict[str, Any], floors: list[Any]
    ) -> xr.Dataset:
        study, names = self.study, list(values)
        pairs = [list(zip(abscissa, values[n], strict=True)) for n in names]
        fits = [[fit(x, y, study.law) for x, y in row] for row in pairs]
        local = [[local_orders(x, spread(y)[0], study.law) for x, y in row] for row in pairs]

        def fitted(name: str) -> tuple[tuple[str, ...], Any]:
            return ("quantity", "series"), [[getattr(f, name) for f in row] for row in fits]

        return dataset(
            quantity=(("quantity",), np.array(names)),
            series=(("series",), np.array([c.name for c in self.series])),
            value=(("value",), np.array(self.values, dtype=float)),
            abscissa=(("series", "value"), abscissa),
            **{n: (("series", "value", "seed"), v) for n, v in values.items()},
            order=fitted("order"),
            order_low=fitted("low"),
            order_high=fitted("high"),
            factor=fitted("factor"),
            local_order=(("quantity", "series", "value"), local),
            order_limit=(("quantity", "series"), [[extrapolated(o) for o in row] for row in local]),
            floor=(("quantity", "series", "value"), floors),
            expected_order=(("series",), [c.expected for c in self.series]),
        ).assign_attrs(
            study=study.name, what=study.what, parameter=study.parameter,
            label=study.label, law=study.law,
        )  # fmt: skip


def _reason(case: Case) -> str:
    """Why a run or its reference cannot begin; empty if both can."""
    try:
        for run in (case.reference, case.run):
            if run is not None:
                BEGINNINGS[run.job](Setup(run.config))
    except InputError as error:
        return str(error)
    return ""


def _changed(origin: str, *changes: Changes) -> Config:
    """The configuration of a preset or a file, with these changes."""
    return load_config(origin).changed(**merged(*changes))


def numbers(text: str) -> list[float]:
    """The numbers in the argument of ``--values``, such as "32,64,128"; empty for an empty text.

    Raises:
        InputError: if one of them is not a finite number.
    """
    try:
        values: list[Any] = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [text]
    if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise InputError(f"--values takes numbers such as 32,64,128, not '{text}'.")
    return values
