"""The commands ``uf-diffusion deep digits`` and ``uf-diffusion deep cifar``, with their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

from uf_diffusion.reports.terminal import Verbosity, path_argument

__all__ = ["deep"]

USUAL = Verbosity()

deep = cyclopts.App(
    name="deep",
    help="Train deep networks by VarPro, SGD and Shampoo with several batch sizes.",
    result_action="print_non_int_sys_exit",  # as all commands, which end the process
)

Batch = Annotated[
    list[int],
    cyclopts.Parameter(name="--batch", negative="", help="A batch size; repeatable. Default five."),
]
Epochs = Annotated[int | None, cyclopts.Parameter(help="Passes over the data.")]
Seeds = Annotated[int | None, cyclopts.Parameter(help="Runs of each method and batch size.")]
Out = Annotated[
    Path | None,
    cyclopts.Parameter(
        name="--out", converter=path_argument, help="The folder; default runs/deep-<experiment>."
    ),
]
Force = Annotated[
    bool,
    cyclopts.Parameter(
        negative="", show_default=False, help="Replace runs of other settings in the folder."
    ),
]
Telling = Annotated[Verbosity, cyclopts.Parameter(name="*", negative="", show_default=False)]


@deep.command
def digits(
    *,
    batch: Batch = [],
    epochs: Epochs = None,
    seeds: Seeds = None,
    out: Out = None,
    force: Force = False,
    verbosity: Telling = USUAL,
) -> None:
    """A narrow residual network on scikit-learn's digits. Repeat the command to continue."""
    from uf_diffusion.deep import commands

    commands.experiment_on_digits(batch, epochs, seeds, out, verbosity, force)


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
    batch: Batch = [],
    epochs: Epochs = None,
    seeds: Seeds = None,
    out: Out = None,
    force: Force = False,
    verbosity: Telling = USUAL,
) -> None:
    """The paper's ResNet-20 on CIFAR-10, which needs a GPU. Repeat the command to continue."""
    from uf_diffusion.deep import commands

    commands.experiment_on_cifar(folder, batch, epochs, seeds, out, verbosity, force)
