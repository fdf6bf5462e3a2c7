"""A single run: its configuration or objects, its computation, its result and its folder."""

from importlib.resources import files

__all__ = ["presets"]


def presets() -> list[str]:
    """The names of the configurations that come with the package."""
    found = (files("uf_diffusion.runs") / "presets").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in found if f.name.endswith(".toml"))
