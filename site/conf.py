"""Sphinx's settings for the site: `make site` builds it, `python -m tools.site` is how.

The pages are the lessons as they are stored, `docs/`, parts of README, and what stands beside this
file. What is done to them on the way is in `tools/site/`.
"""

import os
import tomllib

from tools.site import ROOT, places

project = "Awaited"
author = "the authors of Awaited"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.githubpages",  # without its empty file, Pages would leave out the folder _static
    "tools.site.docstrings",
    "tools.site.lessons",
    "tools.site.guide",
    "tools.site.pages",
    "tools.site.tables",
]
exclude_patterns = ["README.md"]  # the front page and the map take parts of it

# The lessons are shown as they are stored: nothing runs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # the plain one knows no tables
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_heading_anchors = 3  # docs/ links to its own headings as GitHub names them
suppress_warnings = ["misc.highlighting_failure"]  # a `…` in a block of Python stands for your own

default_role = "code"  # the docstrings write code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

repository = os.environ.get("SITE_REPOSITORY", "") or places.repository(ROOT)
"""The public address of the source, such as https://github.com/OWNER/NAME. Where there is none, no
page has a link to edit it and no button that asks the repository for it: see tools/launch.py."""

# The buttons on the front page and on every lesson, in their order. In an address, {root} is the
# way from the page to the site's root, {path} the notebook's in the repository, {name} its file's
# name, {repository} and {slug} the source's address and its OWNER/NAME. A button is shown if what
# it needs is there: "lite", the edition in build/site/lite; "repository", a source with a public
# address.
launch_buttons = [
    {
        "name": "Run in the browser",
        "url": "{root}lite/index.html?lesson={name}",
        "needs": "lite",
        "says": "Nothing to install: Python and the mock server run inside the page.",
    },
    {
        "name": "Open on Binder",
        "url": "https://mybinder.org/v2/gh/{slug}/main?urlpath=lab/tree/{path}",
        "needs": "repository",
        "says": "A JupyterLab on a machine of Binder's, after some minutes. It forgets.",
    },
    {
        "name": "Open in Codespaces",
        "url": "https://codespaces.new/{slug}?quickstart=1",
        "needs": "repository",
        "says": "A machine of GitHub's, under your account. It keeps what you do.",
    },
]

html_theme = "furo"
html_title = project
html_baseurl = os.environ.get("SITE_ADDRESS", "")  # tells search engines a page's one address
html_static_path = ["static"]
html_css_files = ["awaited.css"]
html_js_files = ["search.js"]
html_favicon = "static/favicon.svg"
html_copy_source = False  # the notebooks themselves are beside their pages
html_show_copyright = False
html_domain_indices = False  # a list of modules: nobody looks for one
html_theme_options = {"top_of_page_buttons": []}  # each page has its links under its title
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
