"""The site in a real browser: every page and link, the search, the keyboard, accessibility."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest

from tests.site.conftest import Site

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parents[1] / "browser" / "screenshots"

WIDE = {"width": 1400, "height": 1000}
PHONE = {"width": 390, "height": 844}

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture
def page(chromium: "Browser", site: Site) -> Iterator["Page"]:
    """A page that fails the test if it asked beyond the site, or if a script failed."""
    wrong: list[str] = []
    context = chromium.new_context(viewport=WIDE)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((site.address, "data:"))
            else wrong.append(f"asked for {request.url}")
        ),
    )
    page.on("response", lambda answer: answer.status < 400 or wrong.append(f"lacks {answer.url}"))
    yield page
    context.close()
    assert not wrong


def pages(site: Site) -> list[str]:
    found = [path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*.html")]
    return sorted(name for name in found if not name.startswith("lite/"))


CONTRAST = "color-contrast"

MARK_NEW_KINDS = """known => {
    document.querySelectorAll('details').forEach(each => { each.open = true; });
    // What colours an element has lies in its classes and those around it. A lesson's number in a
    // class has no colour.
    const names = each => each.tagName + '.' + [...each.classList]
        .filter(name => !name.startsWith('tag_')).join('.');
    const seen = new Set(known), found = [];
    for (const each of document.body.querySelectorAll('*')) {
        const speaks = [...each.childNodes].some(
            node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
        if (!speaks) continue;
        const kind = [each, each.parentElement, each.closest('.output, .cell_input, .highlight'),
            each.closest('table, details, aside, footer, article')]
            .map(part => part ? names(part) : '').join(' < ');
        if (seen.has(kind)) continue;
        seen.add(kind);
        found.push(kind);
        each.setAttribute('data-new-kind', '');
    }
    return found;
}"""
"""Marks the first element of each kind: the colours of the 40,000 of all pages take minutes."""

HREFS = "[...document.querySelectorAll('a[href]')].map(link => link.href)"
IDS = "[...document.querySelectorAll('[id]')].map(each => each.id)"


def is_a_page(address: str) -> bool:
    return urlsplit(address).path.endswith((".html", "/"))


def test_every_page_opens_and_every_link_inside_leads_somewhere(page: "Page", site: Site) -> None:
    ids: dict[str, set[str]] = {}
    links: set[str] = set()
    to_open = [site.address]
    while to_open:
        address = to_open.pop()
        if address in ids:
            continue
        page.goto(address)
        ids[address] = set(page.evaluate(IDS))
        for href in page.evaluate(HREFS):
            if href.startswith(site.address):
                links.add(href)
                to_open += [to for to in [urldefrag(href).url] if is_a_page(to)]
    broken = sorted(
        href
        for href, anchor in ((each, urldefrag(each).fragment) for each in links)
        if anchor and anchor not in ids[urldefrag(href).url]
    )
    assert not broken
    files = {href for href in links if not is_a_page(urldefrag(href).url)}
    assert [href for href in files if not page.request.get(href).ok] == []
    reached = {urldefrag(each).url.removeprefix(site.address) for each in ids}
    assert set(pages(site)) - reached <= {"index.html", "search.html"}  # open by other names


@pytest.mark.parametrize(
    ("pasted", "anchor", "told"),
    [
        (
            "AttributeError: 'coroutine' object has no attribute 'choices'",
            "symptom-3",
            "await the call on the line that made it",
        ),
        (
            "TypeError: object ChatCompletion can't be used in 'await' expression",
            "symptom-5",
            "take AsyncOpenAI, or drop the await",
        ),
        (
            "<coroutine object AsyncCompletions.create at 0x7f1b7041fca0>",
            "symptom-1",
            "put await in front of the call",
        ),
        (
            "RuntimeError: asyncio.run() cannot be called from a running event loop",
            "symptom-9",
            "await in the cell",
        ),
    ],
)
def test_an_errors_last_line_pasted_into_the_search_leads_to_its_row(
    page: "Page", site: Site, pasted: str, anchor: str, told: str
) -> None:
    page.goto(site.address)
    page.get_by_placeholder("Search").fill(pasted)
    page.keyboard.press("Enter")
    page.get_by_text("Search finished").wait_for()
    found = [
        str(link)
        for link in page.evaluate(
            "[...document.querySelectorAll('#search-results li a')].map(link => link.href)"
        )
    ]
    (row,) = [href for href in found if f"#{anchor}" in href]
    # Rows that say the same text stand before pages that hold its words.
    assert all("field-guide.html" in href for href in found[: found.index(row) + 1])
    page.goto(row)
    assert told in page.locator("tr:target").inner_text()


def test_the_search_says_so_when_it_finds_nothing(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}search.html?q=xyzzyx")
    page.get_by_text("did not match any documents").wait_for()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_page_breaks_a_rule_of_accessibility_of_level_a_or_aa(
    chromium: "Browser", site: Site, size: dict[str, int]
) -> None:
    context = chromium.new_context(viewport=size)
    page = context.new_page()
    broken = []
    for name in [*pages(site), "search.html?q=coroutine"]:
        page.goto(urljoin(site.address, name))
        broken += violations(page, runOnly=LEVELS, rules={CONTRAST: {"enabled": False}})
    context.close()
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_text_stands_out_from_what_is_behind_it(
    chromium: "Browser", site: Site, scheme: str
) -> None:
    # Without motion: what unfolds fades in, and would be judged half way.
    context = chromium.new_context(viewport=WIDE, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    known: list[str] = []
    page.goto(site.address)
    page.add_style_tag(content="article p { color: #888; background: #777; }")
    page.evaluate(MARK_NEW_KINDS, known)
    assert violations(page, "[data-new-kind]", runOnly=[CONTRAST]), "axe-core saw nothing"
    broken = []
    for name in [*pages(site), "search.html?q=coroutine"]:
        page.goto(urljoin(site.address, name))
        kinds = page.evaluate(MARK_NEW_KINDS, known)
        if kinds:
            known += kinds
            broken += violations(page, "[data-new-kind]", runOnly=[CONTRAST])
    context.close()
    assert len(known) > 100
    assert not broken, "\n".join(broken)


def violations(page: "Page", only: str | None = None, **options: Any) -> list[str]:
    """Return what axe-core finds wrong with the page, or with the elements that `only` selects."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, only, {**options, "resultTypes": ["violations"]}).response
    assert found["testEngine"]["name"] == "axe-core"
    return [
        f"{page.url}: {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def test_nothing_is_wider_than_a_phone_and_no_text_is_cut(page: "Page", site: Site) -> None:
    page.set_viewport_size(PHONE)
    for name in pages(site):
        page.goto(urljoin(site.address, name))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        cut = page.evaluate(
            """[...document.querySelectorAll('article pre, article table, article .table-wrapper')]
            .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0)
            .map(each => each.innerText.slice(0, 80))"""
        )
        assert not cut, f"{name}: {cut}"


def test_the_keyboard_alone_reaches_the_text_unfolds_and_turns_the_light_off(
    page: "Page", site: Site
) -> None:
    page.goto(f"{site.address}notebooks/03_the_forgotten_await.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Skip to content"
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#furo-main-content'")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('article') !== null")

    page.locator("div.cell details > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("div.cell details[open] pre").first.is_visible()

    page.locator(".theme-toggle-content button").focus()
    seen = set()
    for _ in range(3):
        page.keyboard.press("Enter")
        seen.add(page.evaluate("document.body.dataset.theme"))
    assert seen == {"light", "dark", "auto"}


def test_the_pages_are_photographed_for_whoever_looks_at_them(
    chromium: "Browser", site: Site
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    looks: dict[str, list[bytes]] = {}
    for scheme in ("light", "dark"):
        for width, size in {"wide": WIDE, "phone": PHONE}.items():
            context = chromium.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            for name in ("index", "notebooks/02_async_streaming", "docs/field-guide"):
                page.goto(f"{site.address}{name}.html")
                file = PICTURES / f"site-{name.rpartition('/')[2]}-{width}-{scheme}.png"
                looks.setdefault(name, []).append(page.screenshot(path=file))
            context.close()
    assert all(len(set(each)) == 4 for each in looks.values())
