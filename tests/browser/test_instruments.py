"""The doctor's card and the timeline in JupyterLab, on a wide and on a narrow page."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.lab import OpenNotebook, written

pytestmark = pytest.mark.browser

CELLS = (
    """\
%load_ext helpers.doctor
import asyncio
from helpers import async_client, blocking_client, model, recorded, side_by_side, timeline

question = [{"role": "user", "content": "Why is the sky blue?"}]

def ask():
    return blocking_client().chat.completions.create(model=model(), messages=question)

async def ask_async():
    return await async_client().chat.completions.create(model=model(), messages=question)
""",
    "async_client().chat.completions.create(model=model(), messages=question)",
    """\
with recorded() as one_by_one:
    for _ in range(3):
        ask()
with recorded() as together:
    await asyncio.gather(*(ask_async() for _ in range(3)))
timeline(one_by_one=one_by_one, together=together)""",
    "await side_by_side(one=lambda: 'Sunlight meets air. ' * 9, two=lambda: 'So it is. ' * 20)",
)


def test_card_figure_and_table_fit_wide_and_narrow_pages(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path
) -> None:
    opened = in_jupyterlab(written(tmp_path / "mine", *CELLS))
    opened.run_all()
    page = opened.page
    (image,) = page.locator(".jp-RenderedHTML img").all()
    assert image.bounding_box()["width"] == 690, "as wide as it was laid out, at twice the pixels"  # type: ignore[index]
    for name, width in (("wide", 1400), ("narrow", 520)):
        page.set_viewport_size({"width": width, "height": 1000})
        for thing, selector in (
            ("card", ".jp-RenderedHTML >> nth=0"),
            ("timeline", ".jp-RenderedHTML img"),
            ("table", ".jp-RenderedHTML table"),
        ):
            opened.photograph(f"{thing}-{name}", selector)
            box = page.locator(selector).first.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width, f"the {thing} is cut off on a {name} page"
    box = image.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(690 / 484, rel=0.1), "not squeezed"
