"""Refreshing: nothing of the machine is stored, and what says the same stays."""

import os
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode, v4

from tools import notebooks
from tools.refresh import main, refreshed


def a_notebook(*sources: str) -> NotebookNode:
    cells = [v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    return v4.new_notebook(cells=cells, metadata={"author": "me"})


def test_a_second_refresh_changes_nothing_although_addresses_and_pictures_vary(
    tmp_path: Path,
) -> None:
    varying = (
        "import os\nobject()",
        "import base64\n"
        "from IPython.display import HTML\n"
        "pixels = base64.b64encode(os.urandom(64)).decode()\n"
        'HTML(f\'<img alt="x" src="data:image/png;base64,{pixels}">\')',
        "import warnings\nwarnings.warn('careful')",
    )
    once = refreshed(a_notebook(*varying), tmp_path)
    twice = refreshed(once, tmp_path)
    assert notebooks.text(once) == notebooks.text(twice)
    renewed = refreshed(once, tmp_path, pictures=True)
    assert notebooks.text(renewed) != notebooks.text(once)


def test_an_output_that_says_something_else_is_renewed(tmp_path: Path) -> None:
    once = refreshed(a_notebook("1 + 1"), tmp_path)
    once.cells[0].outputs[0].data["text/plain"] = "3"
    assert refreshed(once, tmp_path).cells[0].outputs[0].data["text/plain"] == "2"


def test_a_traceback_that_quotes_other_source_is_renewed(tmp_path: Path) -> None:
    tagged = a_notebook("1 / 0  # as before")
    tagged.cells[0].metadata["tags"] = ["raises-exception"]
    once = refreshed(tagged, tmp_path)
    once.cells[0].source = "1 / 0  # as now"
    (error,) = refreshed(once, tmp_path).cells[0].outputs
    assert "as now" in "".join(error.traceback)


def test_the_stored_form_keeps_ids_counts_from_one_and_names_no_machine(tmp_path: Path) -> None:
    source = "import warnings\nwarnings.warn('careful')"
    stored = refreshed(a_notebook("x = 1", source), tmp_path)
    assert stored.metadata == notebooks.METADATA
    assert [cell.id for cell in stored.cells] == ["cell-0", "cell-1"]
    assert [cell.execution_count for cell in stored.cells] == [1, 2]
    assert stored.cells[1].outputs[0].text.startswith("<cell>:2: UserWarning: careful")


def test_a_traceback_names_installed_files_from_site_packages_on() -> None:
    home = "File \x1b[32m~/venv/lib/python3.11/site-packages/openai/_base_client.py:7\x1b[39m"
    away = "File \x1b[32mC:\\venv\\Lib\\site-packages\\openai\\_base_client.py:7\x1b[39m"
    notebook = a_notebook("x")
    notebook.cells[0].outputs = [
        v4.new_output("error", ename="E", evalue="", traceback=[home, away])
    ]
    lines = notebooks.normalised(notebook).cells[0].outputs[0].traceback
    assert lines[0] == "File \x1b[32m…/site-packages/openai/_base_client.py:7\x1b[39m"
    assert lines[1] == "File \x1b[32m…/site-packages\\openai\\_base_client.py:7\x1b[39m"


def test_a_live_widget_is_not_stored() -> None:
    notebook = a_notebook("x")
    data = {notebooks.WIDGET: {"model_id": "1"}}
    notebook.cells[0].outputs = [v4.new_output("display_data", data=data)]
    assert notebooks.normalised(notebook).cells[0].outputs == []


def test_an_error_that_is_not_tagged_stops_the_refresh(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        refreshed(a_notebook("1 / 0"), tmp_path)


def test_a_refresh_runs_against_the_mock_server_and_shows_nobodys_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "AWAITED_PROGRESS")
    for name in names:
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("sys.argv", ["refresh"])
    monkeypatch.setattr("tools.notebooks.paths", list)
    with pytest.raises(SystemExit):  # there is no notebook to run
        main()
    assert [os.environ[name] for name in names] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            v4.new_output("stream", name="stdout", text="a"),
            v4.new_output("stream", name="stderr", text="a"),
        ),
        (
            v4.new_output("error", ename="TypeError", evalue="a", traceback=[]),
            v4.new_output("error", ename="ValueError", evalue="a", traceback=[]),
        ),
        (
            v4.new_output("error", ename="TypeError", evalue="a", traceback=[]),
            v4.new_output("error", ename="TypeError", evalue="b", traceback=[]),
        ),
    ],
    ids=["stream", "error's name", "error's text"],
)
def test_outputs_that_differ_in_one_thing_are_not_the_same(
    one: NotebookNode, other: NotebookNode
) -> None:
    assert notebooks.same_outputs([one], [one])
    assert not notebooks.same_outputs([one], [other])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("<a object at 0x7f8ee3f93990>", "<a object at 0x7f8ee3f00000>", True),
        ("/tmp/ipykernel_12/345.py:3: W", "C:\\T\\ipykernel_9/8.py:3: W", True),
        ("/tmp/ipykernel_12/345.py:3: W", "/tmp/ipykernel_12/345.py:4: W", False),
        ("<time>0.3 s</time>", "<time>0.4 s</time>", True),
        ("0.3 s", "0.4 s", False),
        ("ticks during the async call: 21", "ticks during the async call: 198", True),
        ("ticks during the async call: 21", "ticks during the async call: 0", False),
        ("ticks after an await: 9", "ticks after an await: 1", False),
        ("ticks during the blocking call: 2", "ticks during the blocking call: 3", False),
        ("0x12", "0x13", False),
    ],
)
def test_only_what_varies_by_nature_is_passed_over(one: str, other: str, same: bool) -> None:
    assert (notebooks.sanitised(one) == notebooks.sanitised(other)) is same


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        (
            "the next one went to the other reader 31 times",
            "the next one went to the other reader 2 times",
            True,
        ),
        (
            "the next one went to the other reader 31 times",
            "the next one went to the other reader 1 times",
            False,
        ),
        ("abandoned, 1 of 100 tokens", "abandoned, 49 of 100 tokens", True),
        ("abandoned, 1 of 100 tokens", "abandoned, 50 of 100 tokens", False),
        ("abandoned, 1 of 100 tokens", "finished, 100 tokens", False),
    ],
)
def test_of_numbers_that_vary_those_that_deny_the_lesson_are_no_match(
    stored: str, fresh: str, same: bool
) -> None:
    assert (notebooks.sanitised(stored) == notebooks.sanitised(fresh)) is same
