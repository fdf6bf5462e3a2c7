"""Runs the command line for ``python -m uf_diffusion``."""

from uf_diffusion.cli import main

main()
