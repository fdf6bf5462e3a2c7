"""The report of a run as a single HTML page that works offline.

Everything on the page comes from the result. The template escapes all text of the configuration,
and the page's content security policy forbids every request to a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from uf_diffusion.core.files import write_text
from uf_diffusion.plots.densities import animation
from uf_diffusion.plots.histories import budget_panels, time_panels
from uf_diffusion.plots.panels import Panel, evenly
from uf_diffusion.plots.plotly_renderer import plotly_figure
from uf_diffusion.plots.spectra import spectrum_panels
from uf_diffusion.results.names import COMPARED, measured, nodes_of_distances
from uf_diffusion.runs.checks import Check, checks
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.result import Result, result_of
from uf_diffusion.runs.sections import LIMITS

__all__ = ["report", "write_report"]

ROWS = 11  # largest number of rows of a table over time
FEATURES = {"relu": "ReLU"}  # spelling in sentences, where it differs from the key's value


class Verdict(NamedTuple):
    """A cell of a table with a colour, which ``kind`` names: "good", "bad" or "soft"."""

    kind: str
    text: str


VERDICTS = {True: Verdict("good", "✓ holds"), False: Verdict("bad", "✗ fails"),
            None: Verdict("soft", "no claim")}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Verdict]]


@dataclass(frozen=True)
class Section:
    """A section of the page, which is left out if it is empty.

    Attributes:
        key, title: the anchor and the heading.
        panels, size: the pictures, and their size, "large" or "small".
        times: labels of the slider that moves through the frames of the pictures.
        note: a sentence below the pictures.
        tables: tables below the note.
        lines: the lines of a text, each with whether it is marked.
    """

    key: str
    title: str
    panels: Sequence[Panel] = ()
    size: str = "small"
    times: Sequence[str] = ()
    note: str = ""
    tables: Sequence[Table] = ()
    lines: Sequence[tuple[str, bool]] = ()


def write_report(result: Any, folder: Path) -> Path:
    """Write the `report` to ``folder/report.html``, and return this path.

    Args:
        result: as for `report`.
        folder: the run's folder, which must exist.

    Raises:
        InputError: as `report`.
        Unwritable: if the file cannot be written.
    """
    path = folder / "report.html"
    write_text(path, report(result))
    return path


def report(result: Any) -> str:
    """The report of a result as HTML.

    Args:
        result: a result of `solve`, `train`, `compare` (with or without an error budget) or
            `spectrum`, or the xarray tree of a result.nc.

    Returns:
        The text of an HTML page, which contains all data and plotly.js (about 5 MB).

    Raises:
        InputError: for something else, or a result whose configuration this version cannot read.
    """
    result = result_of(result)
    found, about = checks(result), result.attributes
    sections = [_moving(result), _spectrum(result), _over_time(result), _budget(result),
                _checks(found), _timings(result), _environment(result),
                _configuration(about["config"])]  # fmt: skip
    files = resources.files("uf_diffusion.reports")
    page, css, script = (
        files.joinpath(f"report.{kind}").read_text(encoding="utf-8")
        for kind in ("html.jinja", "css", "js")
    )
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                           undefined=StrictUndefined, keep_trailing_newline=True)  # fmt: skip
    return template.from_string(page).render(
        config=result.config, heading=_heading(result), about=about, warnings=result.warnings,
        date=datetime.fromisoformat(about.get("date", datetime.now(UTC).isoformat())),
        numbers=_numbers(result, found),
        sections=[s for s in sections if s.panels or s.note or s.tables], drawn=plotly_figure,
        css=css, script=script, plotly=get_plotlyjs(),
    )  # fmt: skip


def _heading(result: Result) -> str:
    """The heading, which says what was run."""
    p, n = result.config.problem, result.config.network
    place = f"{p.manifold} (dimension {p.dim})"
    if result.group("kernel") is not None:
        return f"What the features see, and the slowest modes, on the {place}"
    sides = {
        "diffusion": LIMITS[p.limit],
        "network": f"{n.width} {FEATURES.get(n.features, n.features)} neurons "
                   f"(λ = {n.regularisation:g}, {n.algorithm})",
    }  # fmt: skip
    shown = " and ".join(text for name, text in sides.items() if result.group(name) is not None)
    return f"On the {place}, to t = {p.t_end:g}: {shown}; {p.regulariser} regulariser"


def _numbers(result: Result, found: Iterable[Check]) -> list[tuple[str, str | Verdict]]:
    """The distances at the last time, and the number of checks that hold."""
    comparison, numbers = result.group("comparison"), []
    if comparison is not None:
        numbers = [(f"{COMPARED[name].text}, at the end", f"{float(comparison[name][-1]):.3g}")
                   for name in measured(comparison)]  # fmt: skip
    made = [check.holds for check in found if check.holds is not None]
    kind = "good" if all(made) else "bad"
    held = [("checks that hold", Verdict(kind, f"{sum(made)} of {len(made)}"))] if made else []
    return [*numbers, *held]


def _moving(result: Result) -> Section:
    """The section with the animated pictures, or with the reason why there are none."""
    shown = animation(result)
    times = [f"{t:.4g}" for t in shown.times]
    return Section("picture", "Densities", shown.panels, "large", times, shown.note)


def _over_time(result: Result) -> Section:
    """The section with pictures of distances, risks and bounds, and a table of the distances."""
    comparison, tables, note = result.group("comparison"), [], ""
    if comparison is not None:
        note = nodes_of_distances(comparison)
        columns = {COMPARED[name].text: comparison[name].values for name in measured(comparison)}
        tables = [_series("Distances of the network", comparison.time.values, columns)]
    return Section("distances", "Distances and risks over time", time_panels(result), note=note,
                   tables=tables)  # fmt: skip


def _budget(result: Result) -> Section:
    budget, title = result.group("budget"), "Error budget"
    if budget is None:
        return Section("budget", title)
    names, part, t = [str(s) for s in budget.source.values], budget.contribution, budget.time.values
    whole, caption = {"network to diffusion": budget.total.values}, budget.attrs["distance"]
    columns = dict(zip(names, part.values, strict=True)) | {"sum": part.values.sum(axis=0)} | whole
    tables = [_series(caption.capitalize(), t, columns)]
    if "signed" in budget:
        columns = dict(zip(names, budget.signed.values, strict=True)) | whole
        tables.append(_series(f"Shares of the {caption}, which sum to it", t, columns))
    if "floor" in budget:
        rows = [[str(name), f"{floor:.1e}"] for name, floor in
                zip(budget.source.values, budget.floor.values[:, -1], strict=True)]  # fmt: skip
        tables.append(Table("What an entry cannot resolve, at the last time", ["entry", "floor"],
                            rows))  # fmt: skip
    return Section("budget", title, budget_panels(budget), tables=tables)


def _series(caption: str, times: Any, columns: dict[str, Any]) -> Table:
    """A table of columns over time, at no more than `ROWS` of the times."""
    every = [times, *columns.values()]
    rows = [[f"{column[k]:.4g}" for column in every] for k in evenly(len(times), ROWS)]
    return Table(f"{caption}, dimensionless", ["t", *columns], rows)


def _spectrum(result: Result) -> Section:
    """The section with eigenvalues, and with the share of each eigenspace in both densities."""
    kernel, spectrum, tables = result.group("kernel"), result.group("spectrum"), []
    if spectrum is not None:
        values = [[str(k), f"{e:.8g}"] for k, e in enumerate(spectrum.eigenvalue.values, 1)]
        caption = "Weighted Laplacian: eigenvalues per unit time"
        tables.append(Table(caption, ["mode", "eigenvalue"], values))
    if kernel is not None:
        rows = [
            [",".join(map(str, k.wave.values)), f"{float(k.multiplicity):.10g}",
             f"{float(k.eigenvalue):.6g}", f"{100 * float(k.teacher_share):.3g} %",
             f"{100 * float(k.initial_share):.3g} %", *_learnt(k)]
            for k in (kernel.isel(row=row) for row in range(min(ROWS, kernel.sizes["row"])))
        ]  # fmt: skip
        head = ["degree or wave", "multiplicity", "eigenvalue", "teacher", "initial density"]
        head += ["learnt at this lambda"] if "learnt" in kernel else []
        caption = "Kernel: the first eigenvalues, and shares of the variance"
        tables.append(Table(caption, head, rows))
    panels = spectrum_panels(result)
    return Section("spectrum", "Eigenvalues", panels, "large", tables=tables)


def _learnt(row: Any) -> list[str]:
    return [f"{100 * float(row.learnt):.3g} %"] if "learnt" in row else []


def _checks(found: Iterable[Check]) -> Section:
    rows: list[list[str | Verdict]] = [
        [c.name, f"{c.measured:.3g}", c.bound, VERDICTS[c.holds]] for c in found
    ]
    table = Table("Measured on this result, dimensionless",
                  ["what", "measured", "bound", "verdict"], rows)  # fmt: skip
    return Section("checks", "Conservation and residuals", tables=[table])


def _timings(result: Result) -> Section:
    """The section with the seconds that each part of the run took."""
    timings, rows = result.group("timings"), []
    if timings is not None:
        parts = (timings.entry.values, timings.seconds.values, timings.calls.values)
        rows = [[str(name), f"{seconds:.3g}", str(int(calls))]
                for name, seconds, calls in zip(*parts, strict=True)]  # fmt: skip
    rows.append(["whole run", f"{float(result.attributes['wall_seconds']):.3g}", "1"])
    caption = "Wall-clock time; 'diffusion: …' is a part of the set-up or the diffusion"
    table = Table(caption, ["part", "seconds", "times"], rows)
    return Section("timings", "Where the time went", tables=[table])


def _environment(result: Result) -> Section:
    skipped = {"config", "warnings"}
    rows = [[str(k), str(v)] for k, v in result.attributes.items() if k not in skipped]
    table = Table("What produced the result", ["attribute", "value"], rows)
    return Section("environment", "Environment", tables=[table])


def _configuration(text: str) -> Section:
    """The section with the configuration, where lines that differ from the defaults are marked."""
    usual = set(_by_section(Config().to_toml()))
    lines = [(line, bool(line) and not line.startswith("[") and (section, line) not in usual)
             for section, line in _by_section(text.strip())]  # fmt: skip
    note = "The run.toml of the run. Marked: what differs from the defaults."
    return Section("configuration", "Configuration", note=note, lines=lines)


def _by_section(text: str) -> Iterator[tuple[str, str]]:
    """Each line of a TOML text, after the heading of its section."""
    section = ""
    for line in text.splitlines():
        section = line if line.startswith("[") else section
        yield section, line
