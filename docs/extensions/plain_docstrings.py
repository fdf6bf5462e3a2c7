"""Docstrings are plain text: only double backticks, lists and indented blocks are markup.

A bar or an asterisk in a formula, and an underscore at the end of a name, would be markup for
Sphinx. They are escaped here before Sphinx reads them.
"""

import re

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
MARKUP = re.compile(r"[|*\\]|(?<=\w)_(?!\w)")


def escaped(line: str) -> str:
    """A line of a docstring with its accidental markup escaped, but not inside backticks.

    What is inside becomes a literal, which may be followed by a letter as in `State`s.
    """
    parts = LITERAL.split(line)
    parts[::2] = [MARKUP.sub(lambda found: "\\" + found[0], part) for part in parts[::2]]
    for number in range(1, len(parts), 2):
        follows = "\\ " if parts[number + 1][:1].isalnum() else ""
        parts[number] = f"``{parts[number].strip('`')}``{follows}"
    return "".join(parts)


def escape(app, what, name, obj, options, lines):
    """Change the lines of a docstring in place; blocks of code after ``::`` are left alone."""
    code_from = None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and code_from is not None and indent <= code_from:
            code_from = None
        if code_from is None:
            lines[number] = escaped(line)
            if line.rstrip().endswith("::"):
                code_from = indent


def rejoin(app, what, name, obj, options, lines):
    """Undo that napoleon takes what is before the first colon of a property for its type."""
    if what not in ("attribute", "data", "property"):
        return
    for number, line in enumerate(lines):
        if line.startswith(":type: "):
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
            del lines[number]
            return


def setup(app):
    """Come before napoleon, which adds markup of its own, and after it."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("autodoc-process-docstring", rejoin, priority=900)
    return {"parallel_read_safe": True}
