"""The work of ``uf-diffusion figures``: compute what is missing, draw, and print a summary."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from paper_figures.regenerate import Report, chosen, regenerate
from paper_figures.scale import Scale
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import write_text
from uf_diffusion.library.commands import tell_failures
from uf_diffusion.reports.terminal import Verbosity
from uf_diffusion.reports.text import provenance_lines, time_line
from uf_diffusion.results.provenance import run_attributes
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.keys import toml_of

__all__ = ["draw_figures"]

DRAWN = "drawn.toml"  # how much was computed for each figure in a folder


def draw_figures(
    names: Sequence[str],
    scale: Scale,
    out: Path | None,
    verbosity: Verbosity,
    force: bool = False,
    keep: bool = False,
) -> None:
    """Draw figures into a folder, and print how long they took and how they agree with the paper.

    Args:
        names: names of figures or groups; none means all.
        scale: how much is computed.
        out: the folder; None chooses runs/figures or, for a quick look, runs/quick.
        verbosity: how much to print.
        force: whether to replace figures that are of another scale.
        keep: whether to store the curves of finished runs in the repository.

    Raises:
        InputError: for a mistake in the arguments, or figures of another scale without ``force``.
        RunFailure: if some of the runs failed.
    """
    if keep and scale.quick:
        raise InputError("--keep is for figures in full, not for --quick.")
    folder = out or Path("runs") / ("quick" if scale.quick else "figures")
    wanted = chosen(names)
    with verbosity.applied(), run_folder(folder, mark="runs"):
        known = mpi.from_root(lambda: _known(folder, wanted, scale, force))
        drawn = regenerate(wanted, scale, folder, keep)
        ranks = mpi.size()
        mpi.on_root(lambda: _note(folder, known | dict.fromkeys(drawn.files, str(scale))))
        mpi.on_root(lambda: _tell(drawn, folder, ranks, verbosity))


def _known(folder: Path, wanted: Sequence[str], scale: Scale, force: bool) -> dict[str, str]:
    """The scales of the figures that a folder has, by their names.

    Raises:
        InputError: if a figure that is wanted is there with another scale, without ``force``.
    """
    path = folder / DRAWN
    known = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in wanted:
        if known.get(name, str(scale)) != str(scale) and not force:
            raise InputError(
                f"'{folder}' holds the figure {name} of {known[name]}, not of {scale}: choose "
                "another folder with --out, or replace what is there with --force."
            )
    return known


def _note(folder: Path, scales: dict[str, str]) -> None:
    lines = (f"{name} = {toml_of(scale)}\n" for name, scale in sorted(scales.items()))
    write_text(folder / DRAWN, "".join(lines))


def _tell(drawn: Report, folder: Path, ranks: int, verbosity: Verbosity) -> None:
    if drawn.agreement:
        write_text(folder / "agreement.txt", drawn.agreement + "\n")
    if not verbosity.quiet:
        _print(drawn)
        if verbosity.verbose:
            print("\n".join(provenance_lines(run_attributes("", 0, drawn.total))))
        print(time_line(ranks))
    tell_failures(drawn.failures, "their figures are missing", verbosity)


def _print(drawn: Report) -> None:
    if drawn.agreement:
        print(f"{drawn.agreement}\n")
    for name, file in drawn.files.items():
        print(f"{name:26}{drawn.seconds[name]:8.0f} s  {file}")
    for name in drawn.empty:
        print(f"{name:26}           not drawn: no curve is kept; --seeds 1 computes one seed")
    print(f"{'all runs, on one core':26}{drawn.total:8.0f} s")
