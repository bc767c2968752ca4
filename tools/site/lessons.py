"""Makes pages of the lessons: what is folded in the notebook is folded on its page."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree

SOLUTION = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}


def lessons(source: Path) -> list[str]:
    """Return the lessons' document names, in their order."""
    return [f"notebooks/{path.stem}" for path in sorted(source.glob("notebooks/*.ipynb"))]


def fold(app: Sphinx, docname: str, text: list[str]) -> None:
    """Give each folded cell the tag by which MyST-NB folds, so that the notebook needs none."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(text[0])
    for cell in notebook["cells"]:
        told = cell["metadata"]
        if told.get("jupyter", {}).get("source_hidden"):
            tags = told.setdefault("tags", [])
            if "solution" in tags:
                told["mystnb"] = SOLUTION
            tags.append("hide-input")
    text[0] = json.dumps(notebook)


def mark_the_block(app: Sphinx, doctree: nodes.document) -> None:
    """Give the block of time, need and aim at a lesson's top a class of its own."""
    if app.env.docname.startswith("notebooks/"):
        for paragraph in doctree.findall(nodes.paragraph):
            if paragraph.astext().startswith("Time "):
                paragraph["classes"].append("at-a-glance")
                return


class Lessons(TocTree):
    """`lessons-of-the-course`: the lessons in the contents, with their numbers."""

    def run(self) -> list[nodes.Node]:
        source = Path(self.env.srcdir)
        entries = [f"{_titled(source, name)} <{name}>" for name in lessons(source)]
        self.options = {"hidden": None, "caption": "The lessons"}
        self.content = StringList(entries, source=self.env.docname)
        return super().run()


def _titled(source: Path, name: str) -> str:
    notebook = json.loads((source / f"{name}.ipynb").read_text("utf-8"))
    title = "".join(notebook["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
    return f"{name.split('/')[1][:2]} {title}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", fold)
    app.connect("doctree-read", mark_the_block)
    app.add_directive("lessons-of-the-course", Lessons)
    return {"version": "1", "parallel_read_safe": True}
