"""Directives that write the configuration reference from the code when the site is built.

``configuration-keys SECTION`` is a table of the keys of a section, ``density-keys`` one of the
keys of densities, and ``presets`` shows the files that come with the package.
"""

from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from uf_diffusion.reports.keys import DENSITY_KEYS
from uf_diffusion.runs import presets
from uf_diffusion.runs.config import SECTIONS
from uf_diffusion.runs.keys import key_of, toml_of

__all__ = ["density_rows", "preset_texts", "section_rows", "setup"]

Row = tuple[str, ...]
UNITLESS = ("", "1")


def section_rows(section: str) -> Iterator[Row]:
    """Key, default, unit and meaning of every key of a section."""
    for field in fields(SECTIONS[section]):
        default = "not given" if field.default is None else toml_of(field.default)
        about = field.metadata
        yield key_of(field), default, about["unit"], about["meaning"]


def density_rows() -> Iterator[Row]:
    """Kind, key, default, unit and meaning of every key of a density."""
    for kind, keys in DENSITY_KEYS.items():
        for key, (default, unit, meaning) in keys.items():
            yield kind, key, default, unit, meaning
        if not keys:
            yield kind, "", "", "", "this kind has no keys"


def preset_texts() -> dict[str, str]:
    """The presets by name."""
    folder = files("uf_diffusion.runs") / "presets"
    return {name: (folder / f"{name}.toml").read_text() for name in presets()}


def table(heads: Row, rows: Iterator[Row], code: int) -> nodes.table:
    """A table whose first ``code`` columns are set as code; a unit of 1 is left out."""
    body, head = nodes.tbody(), nodes.thead()
    group = nodes.tgroup("", cols=len(heads))
    group += [nodes.colspec(colwidth=1) for _ in heads]
    for part, lines, literal in ((head, [heads], 0), (body, rows, code)):
        for line in lines:
            row = nodes.row()
            for column, text in enumerate(line):
                plain = "" if heads[column] == "unit" and text in UNITLESS else text
                kind = nodes.literal if column < literal and plain else nodes.inline
                row += nodes.entry("", nodes.paragraph("", "", kind(plain, plain)))
            part += row
    group += [head, body]
    return nodes.table("", group)


class ConfigurationKeys(Directive):
    """The keys of a section."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        heads = ("key", "default", "unit", "meaning")
        return [table(heads, section_rows(self.arguments[0]), 2)]


class DensityKeys(Directive):
    """The keys of densities, by kind."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        return [table(("kind", "key", "default", "unit", "meaning"), density_rows(), 2)]


class Presets(Directive):
    """The presets, each a file with its name above it."""

    def run(self) -> list[nodes.Node]:
        """A title and a block for each."""
        found: list[nodes.Node] = []
        for name, text in preset_texts().items():
            found.append(nodes.paragraph("", "", nodes.strong("", "", nodes.literal(name, name))))
            found.append(nodes.literal_block(text, text, language="toml"))
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("configuration-keys", ConfigurationKeys)
    app.add_directive("density-keys", DensityKeys)
    app.add_directive("presets", Presets)
    return {"parallel_read_safe": True}
