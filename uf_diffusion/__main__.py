"""Runs the command line, for the script ``uf-diffusion`` and for ``python -m uf_diffusion``."""

import logging
import os

from uf_diffusion.core.signals import leave_on_interrupt

__all__ = ["main"]


def main() -> None:
    """Run the command line. Ctrl-C before any work ends the process with one sentence."""
    leave_on_interrupt()
    os.environ.pop("MPLBACKEND", None)  # figures become files, which needs no backend
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of folders for its caches
    from uf_diffusion.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
