"""The documentation site: ``make docs`` builds it into docs/_build/html."""

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from uf_diffusion.core.version import __version__

project = "uf_diffusion"
author = "The uf_diffusion authors"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "myst_nb",
    "configuration_reference",
    "mathml",
    "pages_elsewhere",
    "plain_docstrings",
]
exclude_patterns = ["_build", "extensions"]
# single backticks in docstrings are code, as they are in Markdown
default_role = "literal"

# pages
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# notebooks: every page with code cells is executed, and an error in one ends the build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove"  # progress bars

# API reference: docstrings use short names, and several modules may have one of a name
suppress_warnings = ["ref.python"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
# the room deep is documented also where JAX is not installed
autodoc_mock_imports = [name for name in ("jax", "equinox", "optax") if not find_spec(name)]
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "uf_diffusion"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
}
