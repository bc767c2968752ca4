"""What the built pages hold, against the notebooks and the field guide as they are stored."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urljoin

import pytest

import helpers
from tests.guide.rows import GUIDE, rows, tables
from tests.site.anchors import published
from tests.site.conftest import REPOSITORY, Site
from tools import notebooks
from tools.page_contract import tags
from tools.site import ROOT

pytestmark = pytest.mark.browser

LESSONS = notebooks.paths()
CONTENTS = "you look for"
"""The field guide's first table, which leads to the others."""

OTHERS = ("index", "api", *(f"docs/{page.stem}" for page in (ROOT / "docs").glob("*.md")))

MADE = {"search.html", "genindex.html"}
"""Pages that have no source."""

FIELD_GUIDE = "docs/field-guide.html"

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem[:2])


def code_cells(lesson: Path) -> list[Any]:
    return [cell for cell in notebooks.read(lesson).cells if cell.cell_type == "code"]


def outputs(lesson: Path) -> list[Any]:
    return [output for cell in code_cells(lesson) for output in cell.outputs]


def words(text: str) -> str:
    return " ".join(text.split())


@each_lesson
def test_every_stored_picture_is_there_with_its_words_as_alternative_text(
    site: Site, lesson: Path
) -> None:
    stored = [
        re.findall(r'<img alt="([^"]+)"', output.data["text/html"])
        for output in outputs(lesson)
        if "text/html" in output.get("data", {})
    ]
    shown = site.page(f"notebooks/{lesson.stem}.html").select("article img")
    assert [picture["alt"] for picture in shown] == [alt for alts in stored for alt in alts]


@each_lesson
def test_every_column_view_keeps_its_columns(site: Site, lesson: Path) -> None:
    stored = [
        re.findall(r"<th [^>]+>(.*?)</th>", output.data["text/html"])
        for output in outputs(lesson)
        if "<time>" in output.get("data", {}).get("text/html", "")
    ]
    shown = site.page(f"notebooks/{lesson.stem}.html").select(".output.text_html table")
    assert [[head.text for head in table.select("th")] for table in shown] == stored


@each_lesson
def test_every_folded_cell_is_folded_and_no_other(site: Site, lesson: Path) -> None:
    folded = [
        cell for cell in code_cells(lesson) if cell.metadata.get("jupyter", {}).get("source_hidden")
    ]
    shown = site.page(f"notebooks/{lesson.stem}.html").select("div.cell details")
    assert [words(each.select_one("pre").text) for each in shown] == [
        words(cell.source) for cell in folded
    ]
    assert not any(each.has_attr("open") for each in shown)
    assert [each.summary.text.strip().startswith("Show a solution") for each in shown] == [
        "solution" in tags(cell) for cell in folded
    ]


@each_lesson
def test_every_question_keeps_its_folded_answers(site: Site, lesson: Path) -> None:
    quiz = next(cell for cell in notebooks.read(lesson).cells if "quiz" in tags(cell))
    stored = re.findall(r"<summary>", quiz.source)
    page = site.page(f"notebooks/{lesson.stem}.html")
    assert len(page.select("#check-yourself details > summary")) == len(stored) > 0


@each_lesson
def test_every_error_keeps_its_traceback_in_colour(site: Site, lesson: Path) -> None:
    stored = [output for output in outputs(lesson) if output.output_type == "error"]
    shown = site.page(f"notebooks/{lesson.stem}.html").select(".output.traceback")
    assert [
        words(each.text).endswith(words(error.evalue))
        for each, error in zip(shown, stored, strict=True)
    ] == [True] * len(stored)
    for each in shown:
        assert each.select("span.gt, span.gr"), "nothing in it has the colour of an error"


@each_lesson
def test_a_table_that_a_cell_shows_is_a_table(site: Site, lesson: Path) -> None:
    stored = [
        output.data["text/markdown"].count("\n")  # a line for each row and one of dashes
        for output in outputs(lesson)
        if "text/markdown" in output.get("data", {})
    ]
    shown = site.page(f"notebooks/{lesson.stem}.html").select(".cell_output .table-wrapper table")
    assert [len(table.select("tr")) for table in shown] == stored


@each_lesson
def test_a_lesson_can_be_launched_downloaded_and_edited(site: Site, lesson: Path) -> None:
    links = {
        link.text: str(link["href"])
        for link in site.page(f"notebooks/{lesson.stem}.html").select(".page-links a")
    }
    path = f"notebooks/{lesson.name}"
    assert links["Run in the browser"] == f"../lite/index.html?lesson={lesson.name}"
    assert links["Open on Binder"].endswith(f"/somebody/awaited/main?urlpath=lab/tree/{path}")
    assert links["Open in Codespaces"] == "https://codespaces.new/somebody/awaited?quickstart=1"
    assert links["Edit the source"] == f"{REPOSITORY}/edit/main/{path}"
    downloaded = site.folder / "notebooks" / links["Download the notebook"]
    assert downloaded.read_bytes() == lesson.read_bytes()


@each_lesson
def test_a_lesson_leads_to_the_next_and_the_one_before(site: Site, lesson: Path) -> None:
    page = site.page(f"notebooks/{lesson.stem}.html")
    number = LESSONS.index(lesson)
    if number + 1 < len(LESSONS):
        assert page.select_one("a.next-page")["href"] == f"{LESSONS[number + 1].stem}.html"
    if number > 0:
        assert page.select_one("a.prev-page")["href"] == f"{LESSONS[number - 1].stem}.html"


def test_a_button_is_shown_only_where_it_leads_somewhere(tmp_path: Path) -> None:
    from tools.site.pages import launches

    buttons = [{"name": need, "needs": need} for need in ("lite", "repository")]
    settings = SimpleNamespace(launch_buttons=buttons, repository="")
    app = cast("Any", SimpleNamespace(outdir=tmp_path, config=settings))
    assert launches(app) == []
    settings.repository = REPOSITORY
    assert launches(app) == [buttons[1]]
    (tmp_path / "lite").mkdir()
    assert launches(app) == [buttons[1]]
    (tmp_path / "lite" / "index.html").touch()
    assert launches(app) == buttons


def test_no_link_leads_to_a_source_where_there_is_a_page(site: Site) -> None:
    wrong = [
        f"{path.name}: {link['href']}"
        for path in site.folder.rglob("*.html")
        for link in site.page(str(path.relative_to(site.folder))).select("article a[href]")
        if re.search(r"\.(ipynb|md)(#|$)", str(link["href"]))
        and "://" not in str(link["href"])
        and not link.has_attr("download")
        and "?lesson=" not in str(link["href"])  # opens it in the browser edition
    ]
    assert not wrong


def test_the_pages_of_the_manual_and_of_helpers_are_edited_where_they_stand(site: Site) -> None:
    for page, source in {"docs/mock-server": "docs/mock-server.md", "api": "site/api.md"}.items():
        (link,) = site.page(f"{page}.html").select(".page-links a")
        assert link["href"] == f"{REPOSITORY}/edit/main/{source}"


def test_the_front_page_has_a_button_for_each_way_to_begin(site: Site) -> None:
    ways = site.page("index.html").select(".ways a.launch")
    assert {way.text: str(way["href"]) for way in ways} == {
        "Read it here": "notebooks/00_start_here.html",
        "Run in the browser": "lite/index.html?lesson=00_start_here.ipynb",
        "Open on Binder": "https://mybinder.org/v2/gh/somebody/awaited/main"
        "?urlpath=lab/tree/notebooks/00_start_here.ipynb",
        "Open in Codespaces": "https://codespaces.new/somebody/awaited?quickstart=1",
        "Install it": "#install-it",
    }


def test_the_front_pages_map_leads_to_every_lesson(site: Site) -> None:
    table = site.page("index.html").select_one("#the-map table")
    assert [str(link["href"]) for link in table.select("a")] == [
        f"notebooks/{lesson.stem}.html" for lesson in LESSONS
    ]


def test_every_page_has_a_title_and_a_description_of_its_own(site: Site) -> None:
    titles, descriptions = [], []
    for path in site.folder.rglob("*.html"):
        if (
            path.name in {"search.html", "genindex.html", "py-modindex.html"}
            or "lite" in path.parts
        ):
            continue
        page = site.page(str(path.relative_to(site.folder)))
        titles.append(words(page.title.text))
        (described,) = page.select('meta[name="description"]')
        descriptions.append(str(described["content"]))
        assert 40 <= len(descriptions[-1]) <= 160, path.name
    assert len(titles) == len(LESSONS) + len(OTHERS)
    assert len(set(titles)) == len(set(descriptions)) == len(titles)


def guide_rows() -> list[dict[str, str]]:
    first = {line.split(" | ")[0].strip("| ") for line in GUIDE.read_text("utf-8").splitlines()}
    return [cells for _, cells in tables(*(first - {CONTENTS}))]


def test_every_row_of_the_field_guide_has_an_anchor_and_a_link_to_it(site: Site) -> None:
    shown = site.page(FIELD_GUIDE).select("table.guide tbody tr[id]")
    assert len(shown) == len(guide_rows()) > 150
    for row in shown:
        (link,) = row.select("a.row-link")
        assert link["href"] == f"#{row['id']}"
    assert len({row["id"] for row in shown}) == len(shown)


def test_a_row_is_where_it_was_when_its_anchor_was_published(site: Site) -> None:
    there = {str(each["id"]) for each in site.page(FIELD_GUIDE).select("[id]")}
    lost = [anchor for anchor in published() if anchor not in there]
    assert not lost, f"Links lead there: let FORMER in tools/site/guide.py send them on: {lost}"


def indexed(site: Site) -> dict[str, list[list[Any]]]:
    """Return the search's own entries: a text in small letters, and where it stands."""
    index = (site.folder / "searchindex.js").read_text("utf-8")
    found: dict[str, list[list[Any]]] = json.loads(index[len("Search.setIndex(") : -1])[
        "indexentries"
    ]
    return found


def test_what_python_says_in_a_row_is_in_the_index_and_in_the_search(site: Site) -> None:
    entries = indexed(site)
    index = words(site.page("genindex.html").select_one("article").text)
    for row in rows():
        for _, text in row.forms:
            said = re.sub(r"^[\w.]+: ", "", text)
            if "…" in said or ";" in said:
                continue  # stands there without what varies
            assert said.partition(" (")[0] in index  # what is in parentheses stands one level below
            assert words(said.lower()) in entries, said


def test_other_projects_find_the_helpers_and_the_rows_in_the_inventory(site: Site) -> None:
    from sphinx.util.inventory import InventoryFile

    with (site.folder / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "https://example.org", urljoin)
    assert inventory["py:function"]["helpers.timeline"].uri.endswith("api.html#helpers.timeline")
    assert inventory["std:label"]["symptom-3"].uri.endswith(f"{FIELD_GUIDE}#symptom-3")


def test_the_api_page_describes_every_name_that_a_notebook_may_import(site: Site) -> None:
    page = site.page("api.html")
    for name in dir(helpers):
        described = page.select_one(f'dt[id="helpers.{name}"] + dd > p')
        assert described is not None, name
        assert len(words(described.text)) > 20, name


def test_a_build_leaves_the_edition_for_the_browser_and_nothing_else(site: Site) -> None:
    assert "stand-in" in (site.folder / "lite" / "index.html").read_text("utf-8")
    assert not (site.folder / "left-over.html").exists()
