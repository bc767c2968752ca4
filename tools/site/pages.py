"""What stands on every page: what it says to a search engine, and the buttons under its title."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools.site import places
from tools.site.build import LITE

DESCRIPTION = 160
"""Letters of a description that search engines show."""

FIRST = "notebooks/00_start_here"

ELSEWHERE = {"two-commands": "install-it"}
"""Parts of README that the front page has under another title."""


def lead_to_the_front(app: Sphinx, page: str, text: list[str]) -> None:
    """Let what a page says of README lead to the front page, which has README's parts."""
    if page.startswith(("docs/", "notebooks/")):
        text[0] = text[0].replace("](../README.md", "](../index.md")
        for part, there in ELSEWHERE.items():
            text[0] = text[0].replace(f"](../index.md#{part})", f"](../index.md#{there})")


def finish(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Describe the page, and put its links under its title."""
    tree = "furo_navigation_tree"  # its captions are headings of no level, to a screen reader
    context[tree] = context[tree].replace('role="heading"', 'role="heading" aria-level="2"')
    if doctree is None:
        return
    description = escape(described(doctree))
    context["metatags"] = f'<meta name="description" content="{description}">\n' + context.get(
        "metatags", ""
    )
    # The words of a search are marked within an element of this class; without one, in the theme's
    # icons too, where that script stumbles.
    context["body"] = f'<div class="body">{context["body"]}</div>'
    links = _links(app, page, context["pathto"](app.config.root_doc))
    if links and page != app.config.root_doc:
        row = f'<p class="page-links">{" ".join(links)}</p>'
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{row}", 1)


def described(doctree: nodes.document) -> str:
    """Return the page's first paragraph, cut at a word."""
    first = next(
        node
        for node in doctree.findall(nodes.paragraph)
        if isinstance(node.parent, nodes.section) and not node.next_node(nodes.strong)
    )
    text = " ".join(first.astext().split())
    return text if len(text) <= DESCRIPTION else text[: DESCRIPTION - 1].rpartition(" ")[0] + " …"


def _links(app: Sphinx, page: str, home: str) -> list[str]:
    root = home.removesuffix("index.html").removesuffix("#")
    repository = app.config.repository
    links = []
    if page.startswith("notebooks/"):
        for button in launches(app):
            address = button_address(app, button, root, f"{page}.ipynb")
            links.append(_link(button["name"], address, "launch"))
        file = f"{page.rpartition('/')[2]}.ipynb"
        links.append(f'<a href="{file}" download>Download the notebook</a>')
    if repository:
        source = places.source(Path(app.env.doc2path(page)).relative_to(app.srcdir).as_posix())
        links.append(_link("Edit the source", f"{repository}/edit/main/{source}"))
    return links


def launches(app: Sphinx) -> list[dict[str, str]]:
    """Return the launch buttons whose needs are met."""
    met = {
        "lite": (Path(app.outdir) / LITE / "index.html").is_file(),
        "repository": bool(app.config.repository),
    }
    return [button for button in app.config.launch_buttons if met[button["needs"]]]


def button_address(app: Sphinx, button: Mapping[str, str], root: str, path: str) -> str:
    repository = app.config.repository
    return button["url"].format(
        root=root,
        path=quote(path),
        name=quote(Path(path).name),
        repository=repository,
        slug=places.slug(repository),
    )


def _link(name: str, address: str, kind: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'<a{shown} href="{escape(address)}">{escape(name)}</a>'


class WaysToBegin(SphinxDirective):
    """`ways-to-begin`: read, launch, install, a button and a sentence each."""

    def run(self) -> Sequence[nodes.Node]:
        app = self.env.app
        ways = [
            ("Read it here", f"{FIRST}.html", "The lessons with their outputs, on any screen."),
            *(
                (each["name"], button_address(app, each, "", f"{FIRST}.ipynb"), each["says"])
                for each in launches(app)
            ),
            ("Install it", "#install-it", "Two commands, and it runs without a network."),
        ]
        items = [
            f"<li>{_link(n, a, 'launch')}<span>{escape(says)}</span></li>" for n, a, says in ways
        ]
        return [nodes.raw("", f'<ul class="ways">{"".join(items)}</ul>', format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("repository", "", "env", str)
    app.add_config_value("launch_buttons", [], "env", list)
    app.add_directive("ways-to-begin", WaysToBegin)
    app.connect("source-read", lead_to_the_front)
    app.connect("html-page-context", finish, priority=900)  # after the theme's
    return {"version": "1", "parallel_read_safe": True}
