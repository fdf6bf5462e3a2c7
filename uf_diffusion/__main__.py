"""``python -m uf_diffusion`` is the command line."""

from uf_diffusion.cli import main

main()
