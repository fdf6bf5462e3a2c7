"""The commands ``uf-diffusion deep digits`` and ``uf-diffusion deep cifar``, with their options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts

from uf_diffusion.reports.terminal import Verbosity, path_argument

__all__ = ["Choices", "deep"]


@dataclass(frozen=True)
class Choices:
    """What a command changes of an experiment, and where its results go.

    Attributes:
        batch: A batch size; repeatable. Default five.
        epochs: Passes over the data.
        seeds: Runs of each method and batch size.
        out: The folder; default runs/deep-<experiment>.
        force: Replace runs of other settings in the folder.
    """

    batch: tuple[int, ...] = ()
    epochs: int | None = None
    seeds: int | None = None
    out: Annotated[Path | None, cyclopts.Parameter(converter=path_argument)] = None
    force: bool = False


USUAL, AS_USUAL = Verbosity(), Choices()

deep = cyclopts.App(
    name="deep",
    help="Train deep networks by VarPro, SGD and Shampoo with several batch sizes.",
    result_action="print_non_int_sys_exit",  # as all commands, which end the process
)

Telling = Annotated[Verbosity, cyclopts.Parameter(name="*", negative="", show_default=False)]
Chosen = Annotated[Choices, cyclopts.Parameter(name="*", negative="", show_default=False)]


@deep.command
def digits(*, choices: Chosen = AS_USUAL, verbosity: Telling = USUAL) -> None:
    """A narrow residual network on scikit-learn's digits. Repeat the command to continue."""
    from uf_diffusion.deep import commands

    commands.experiment_on_digits(choices, verbosity)


@deep.command
def cifar(
    folder: Annotated[
        Path,
        cyclopts.Parameter(
            converter=path_argument, help="Where cifar-10-binary.tar.gz is, or its files."
        ),
    ],
    /,
    *,
    choices: Chosen = AS_USUAL,
    verbosity: Telling = USUAL,
) -> None:
    """The paper's ResNet-20 on CIFAR-10, which needs a GPU. Repeat the command to continue."""
    from uf_diffusion.deep import commands

    commands.experiment_on_cifar(folder, choices, verbosity)
