"""Sphinx: MyST pages, and reference pages computed from the docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import snn4

project = "snn4"
author = "The snn4 contributors"
copyright = "The snn4 contributors, Apache-2.0"
version = release = snn4.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "docstrings",
    "computed",
]
exclude_patterns = ["_build"]
smartquotes = False
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

# a type stands in the signature, and nowhere else
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_custom_sections = ["Shape"]
napoleon_use_rtype = False
add_module_names = False

html_theme = "furo"
html_title = f"snn4 {release}"
