"""Pages of the site whose text is a file outside docs/, such as CONTRIBUTING.md.

The page in docs/ is a line with a link to the file. When the site is built the file's text takes
its place, and links between pages and these files are changed so that they stay on the site.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
FILES = {
    "changes": ROOT / "CHANGELOG.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "mesh_files": ROOT / "meshes" / "README.md",
    "security": ROOT / "SECURITY.md",
    "paper_figures": ROOT / "paper_figures" / "README.md",
}
PAGES = {file: DOCS / f"{name}.md" for name, file in FILES.items()}
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def relinked(text, source, page):
    """The text of a file with its relative links as they are on a page of the site."""

    def new(match):
        before, target, heading, after = match.groups()
        path = Path(os.path.normpath(source.parent / target))
        path = PAGES.get(path, path)
        return f"{before}{os.path.relpath(path, page.parent)}{heading or ''}{after}"

    return LINK.sub(new, text)


def read(app, docname, source):
    """Put the file's text into the page, or change the links of a page of docs/."""
    page = DOCS / f"{docname}.md"
    file = FILES.get(docname, page)
    if docname in FILES:
        app.env.note_dependency(str(file))
        source[0] = file.read_text(encoding="utf-8")
    source[0] = relinked(source[0], file, page)


def setup(app):
    """Read pages through this module."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
