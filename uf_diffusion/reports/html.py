"""The report of a run: one HTML page that needs nothing but itself.

Everything is read from the result tree. Whatever comes from the configuration is escaped, and the
page's own policy forbids every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from uf_diffusion.core.files import write_text
from uf_diffusion.plots.charts import (
    DISTANCES,
    budget_charts,
    distance_charts,
    equilibrium_charts,
    measured_distances,
    risk_charts,
    spectrum_charts,
)
from uf_diffusion.plots.interactive import Picture, chosen
from uf_diffusion.plots.moving import movie
from uf_diffusion.runs.checks import Check, checks
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.result import Result

__all__ = ["report", "write_report"]

ROWS = 11  # of the tables over time, at most
POLICY = (  # plotly's WebGL compiles functions of its own
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; worker-src blob:"
)
FEATURES = {"relu": "ReLU", "radial": "radial", "laplace": "Laplace"}


def write_report(result: Result, folder: Path) -> Path:
    """Write `report` to ``folder/report.html``, at once; its path.

    Args:
        result: as for `report`.
        folder: of the run; it must exist.

    Raises:
        InputError: for a result whose configuration this version does not know.
        Unwritable: when the file cannot be written.
    """
    path = folder / "report.html"
    write_text(path, report(result))
    return path


def report(result: Result) -> str:
    """The page of a result of `solve`, `train`, `compare` (with or without budget), `spectrum`.

    Args:
        result: what they returned, or a result.nc read back.

    Returns:
        HTML with plotly.js and all data inside: about 5 MB of it are plotly.js.

    Raises:
        InputError: for a result whose configuration this version does not know.
    """
    config, found = result.config, checks(result)
    sections = {
        "picture": ("Densities", _moving(result)),
        "spectrum": ("Eigenvalues", _spectrum(result)),
        "distances": ("Distances and risks over time", _over_time(result)),
        "budget": ("Error budget", _budget(result)),
        "checks": ("Conservation and residuals", _checks(found)),
        "timings": ("Where the time went", _timings(result)),
        "environment": ("Environment", _environment(result)),
        "configuration": ("Configuration", _configuration(result.attributes["config"])),
    }
    shown = {key: section for key, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{key}">{title}</a>' for key, (title, _) in shown.items())
    body = "\n".join(
        f'<section id="{key}">\n<h2>{title}</h2>\n{content}\n</section>'
        for key, (title, content) in shown.items()
    )
    header = f"{_header(result, config, found)}\n<nav aria-label='Sections'>{links}</nav>"
    return _page(config, f"<header>\n{header}\n</header>\n<main>\n{body}\n</main>")


def _page(config: Config, body: str) -> str:
    css, script = (
        resources.files("uf_diffusion.reports")
        .joinpath(f"report.{kind}")
        .read_text(encoding="utf-8")
        for kind in ("css", "js")
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>uf_diffusion: {escape(config.problem.manifold)}, t = {config.problem.t_end:g}</title>
<style>
{css}</style>
</head>
<body>
{body}
<noscript><p>The pictures of this page need JavaScript, which is inside it.</p></noscript>
<script>{get_plotlyjs()}</script>
<script>
{script}</script>
</body>
</html>
"""


def _header(result: Result, config: Config, found: Sequence[Check]) -> str:
    """What was run, warnings, and the numbers that matter."""
    about = result.attributes
    when = datetime.fromisoformat(about.get("date", datetime.now(UTC).isoformat()))
    lines = [
        f"<h1>{escape(_sentence(result, config))}</h1>",
        f'<p class="soft">uf_diffusion {_text(about["version"])}, '
        f"{float(about['wall_seconds']):.1f} s on {_text(about['ranks'])} rank(s), "
        f"{when:%d %B %Y, %H:%M} UTC.</p>",
    ]
    if warnings := result.warnings:
        items = "".join(f"<li>{escape(line)}</li>" for line in warnings)
        lines.append(
            f'<div class="warnings" role="note"><strong>Warnings</strong><ul>{items}</ul></div>'
        )
    items = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in _numbers(result, found))
    return "\n".join([*lines, f'<dl class="numbers">{items}</dl>'])


def _sentence(result: Result, config: Config) -> str:
    """What was run, in one sentence."""
    p, n = config.problem, config.network
    place = f"{p.manifold} (dimension {p.dim})"
    place = {("circle", 1): "circle", ("sphere", 2): "sphere S²"}.get((p.manifold, p.dim), place)
    equation = "ultra-fast diffusion"
    if p.limit == "constrained":
        equation = "constrained limit of ReLU networks"
    network = (
        f"{n.width} {FEATURES.get(n.features, n.features)} neurons "
        f"(λ = {n.regularisation:g}, {n.algorithm})"
    )
    if result.group("kernel") is not None:
        return f"What the features see, and the slowest modes, on the {place}"
    sides = [f"the {equation}"] * (result.group("diffusion") is not None) + [network] * (
        result.group("network") is not None
    )
    return f"On the {place}, to t = {p.t_end:g}: {' and '.join(sides)}; {p.regulariser} regulariser"


def _numbers(result: Result, found: Sequence[Check]) -> Iterator[tuple[str, str]]:
    """The last distances, and whether all checks hold."""
    comparison = result.group("comparison")
    if comparison is not None:
        for name in measured_distances(comparison):
            yield f"{DISTANCES[name]}, at the end", f"{float(comparison[name][-1]):.3g}"
    made = [check.holds for check in found if check.holds is not None]
    if made:
        kind = "good" if all(made) else "bad"
        yield "checks that hold", f'<span class="{kind}">{sum(made)} of {len(made)}</span>'


def _moving(result: Result) -> str:
    """The pictures of the slider, or why there are none."""
    shown = movie(result)
    note = f'<p class="soft">{escape(shown.note)}</p>' if shown.note else ""
    if not shown.pictures:
        return note
    times = ", ".join(f'"{t:.4g}"' for t in shown.times)
    player = f"""<div class="player">
<button id="play" type="button" disabled>Play</button>
<input id="time" type="range" min="0" max="{len(shown.times) - 1}" value="0" step="1" disabled
 aria-label="time of the pictures" data-times='[{times}]'>
<output id="time-shown" for="time">t = {shown.times[0]:.4g}</output>
</div>"""
    return f"{player}\n{_plots(shown.pictures, 'large')}\n{note}"


def _plots(pictures: Sequence[Picture], size: str = "small") -> str:
    figures = "".join(map(_plot, pictures))
    return f'<div class="plots {size}">\n{figures}</div>\n' if pictures else ""


def _plot(picture: Picture) -> str:
    figure = picture.figure
    title, height = str(figure.layout.title.text), figure.layout.height
    globe = " data-globe" if any(trace.type == "mesh3d" for trace in figure.data) else ""
    label = escape(f"{title}: {picture.caption}")
    # plotly's JSON has no "<", so that nothing in it ends the script
    return f"""<figure{' class="wide"' if picture.wide else ""}>
<div class="plot" id="plot-{picture.name}" role="img" aria-label="{label}"{globe}
 style="height: {height}px"></div>
<script type="application/json" id="plot-{picture.name}-data">{figure.to_json()}</script>
<figcaption>{escape(picture.caption)}</figcaption>
</figure>
"""


def _over_time(result: Result) -> str:
    """Distances, risks, bounds, and the distances as a table."""
    diffusion, comparison = result.group("diffusion"), result.group("comparison")
    pictures = [] if comparison is None else distance_charts(comparison)
    pictures += risk_charts(result)
    pictures += [] if diffusion is None else equilibrium_charts(diffusion)
    table = ""
    if comparison is not None:
        names = measured_distances(comparison)
        columns = [comparison[name].values for name in names]
        head = ["t", *(DISTANCES[name] for name in names)]
        table = _series("Distances of the network", head, comparison.time.values, columns)
    return _plots(pictures) + table


def _budget(result: Result) -> str:
    budget = result.group("budget")
    if budget is None:
        return ""
    part = budget.contribution.values
    head = ["t", *map(str, budget.source.values), "sum", "network to diffusion"]
    columns = [*part, part.sum(axis=0), budget.total.values]
    table = _series(budget.attrs["distance"].capitalize(), head, budget.time.values, columns)
    return _plots(budget_charts(budget)) + table


def _series(caption: str, head: Sequence[str], times: Any, columns: Sequence[Any]) -> str:
    """A table over some of the times."""
    rows = (
        [f"{times[k]:.4g}", *(f"{column[k]:.4g}" for column in columns)]
        for k in chosen(len(times), ROWS)
    )
    return _table(f"{caption}, dimensionless", head, rows)


def _spectrum(result: Result) -> str:
    """Eigenvalues, and what of the two densities the features see."""
    kernel, spectrum, text = result.group("kernel"), result.group("spectrum"), ""
    if spectrum is not None:
        rows = ([str(k), f"{value:.8g}"] for k, value in enumerate(spectrum.eigenvalue.values, 1))
        text += _table("Weighted Laplacian: eigenvalues per unit time", ["mode", "eigenvalue"],
                       rows)  # fmt: skip
    if kernel is not None:
        rows = ([",".join(map(str, k.wave.values)), f"{int(k.multiplicity)}",
                 f"{float(k.eigenvalue):.6g}", f"{100 * float(k.teacher_share):.3g} %",
                 f"{100 * float(k.initial_share):.3g} %"]
                for k in (kernel.isel(row=row) for row in range(min(ROWS, kernel.sizes["row"])))
                )  # fmt: skip
        head = ["degree or wave", "multiplicity", "eigenvalue", "teacher", "initial density"]
        text += _table("Kernel: the first eigenvalues, and shares of the variance", head, rows)
    return _plots(spectrum_charts(result), "large") + text


def _checks(found: Sequence[Check]) -> str:
    words = {True: '<span class="good">✓ holds</span>', False: '<span class="bad">✗ fails</span>',
             None: '<span class="soft">no claim</span>'}  # fmt: skip
    rows = ([escape(c.name), f"{c.measured:.3g}", escape(c.bound), words[c.holds]] for c in found)
    caption = "Measured on this result, dimensionless"
    return _table(caption, ["what", "measured", "bound", "verdict"], rows, escaped=True)


def _timings(result: Result) -> str:
    """Seconds of the parts of the run."""
    timings, whole = result.group("timings"), float(result.attributes["wall_seconds"])
    rows = [["whole run", f"{whole:.3g}", "1"]]
    if timings is not None:
        rows[:0] = [
            [str(name), f"{seconds:.3g}", str(int(calls))]
            for name, seconds, calls in zip(
                timings.entry.values, timings.seconds.values, timings.calls.values, strict=True
            )
        ]
    caption = "Wall-clock time; 'diffusion: …' is a part of the set-up or the diffusion"
    return _table(caption, ["part", "seconds", "times"], rows)


def _environment(result: Result) -> str:
    skipped = {"config", "warnings"}
    rows = ([str(k), str(v)] for k, v in result.attributes.items() if k not in skipped)
    return _table("What produced the result", ["attribute", "value"], rows)


def _configuration(text: str) -> str:
    """The configuration, with what differs from the defaults marked."""
    usual, section, lines = set(_by_section(Config().to_toml())), "", []
    for section, line in _by_section(text):
        plain = not line or line.startswith("[") or (section, line) in usual
        lines.append(escape(line) if plain else f"<mark>{escape(line)}</mark>")
    content = "\n".join(lines).strip()
    return ('<p class="soft">The run.toml of the run. Marked: what differs from the defaults.</p>\n'
            f'<pre tabindex="0" aria-label="run.toml">{content}</pre>')  # fmt: skip


def _by_section(text: str) -> Iterator[tuple[str, str]]:
    """Each line, and the section that it is in."""
    section = ""
    for line in text.splitlines():
        section = line if line.startswith("[") else section
        yield section, line


def _table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], escaped: bool = False
) -> str:
    """A table whose rows begin with a heading; cells are text unless they are HTML already."""
    text = str if escaped else escape
    body = "\n".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>
<caption>{escape(caption)}</caption>
<thead><tr>{columns}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
"""


def _text(value: Any) -> str:
    return escape(str(value))
