"""Formulas as MathML, which browsers show by themselves, without a script from elsewhere."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger

logger = getLogger(__name__)


def show(writer, node, block):
    """Write a formula; one that cannot be translated is a warning."""
    try:
        writer.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def inline(writer, node):
    """A formula in a line."""
    show(writer, node, False)


def block(writer, node):
    """A formula of its own."""
    show(writer, node, True)


def setup(app):
    """Add the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
