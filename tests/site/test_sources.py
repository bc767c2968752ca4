"""What the site is made of, as far as it can be judged without building it."""

import re
from pathlib import Path

import pytest
import yaml

import helpers
from tools.site import ROOT, places
from tools.site.docstrings import marked_up


@pytest.mark.parametrize(
    ("remote", "public"),
    [
        ("https://github.com/somebody/awaited.git", "https://github.com/somebody/awaited"),
        ("git@github.com:somebody/awaited.git", "https://github.com/somebody/awaited"),
        ("ssh://git@github.com:22/somebody/awaited", "https://github.com/somebody/awaited"),
        ("https://name:secret@github.com/somebody/awaited", "https://github.com/somebody/awaited"),
        ("/srv/awaited", ""),
        ("../awaited.git", ""),
        ("", ""),
    ],
)
def test_a_remote_has_a_public_address_or_none(remote: str, public: str) -> None:
    assert places.public(remote) == public


def test_the_address_that_readme_states_goes_before_the_clones_origin(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- launch: https://github.com/somebody/awaited -->", "utf-8")
    assert places.repository(tmp_path) == "https://github.com/somebody/awaited"
    readme.write_text("<!-- launch: nowhere -->", "utf-8")
    assert places.repository(tmp_path) == ""


def test_a_set_in_block_of_a_docstring_is_code_and_parameters_are_a_list() -> None:
    told = marked_up(
        [
            "Do it.",
            "",
            "    with doing() as it:",
            "        it.more()",
            "",
            "`often`: how many times,",
            "seconds apart.",
            "`loud`: or not.",
            "",
            "More words.",
            "",
            "Raises:",
            "    ValueError: it cannot be",
            "        done.",
        ]
    )
    assert "\n".join(told).split("\n\n") == [
        "Do it.",
        ".. code-block:: python",
        "    with doing() as it:\n        it.more()",
        "\n- `often`: how many times,\n  seconds apart.\n- `loud`: or not.",
        "More words.",
        "\n:raises ValueError: it cannot be\n        done.",
    ]


def test_an_item_of_a_docstrings_list_keeps_its_second_line() -> None:
    lines = ["Forms:", "", "- one that goes", "  on", "- another"]
    assert [line for line in marked_up(lines) if line] == [line for line in lines if line]


def test_the_api_page_names_every_name_that_a_notebook_may_import() -> None:
    page = (ROOT / "site" / "api.md").read_text("utf-8")
    named = re.findall(r"auto(?:function|class):: helpers\.(\w+)\b(?!\.)", page)
    assert sorted(named) == dir(helpers)


def test_only_a_push_to_main_publishes_the_site() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text("utf-8"))["jobs"]
    only = "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert jobs["publish"]["if"] == only
    assert "permissions" not in jobs["build"]
    for step in jobs["build"]["steps"]:
        if "pages" in step.get("uses", ""):
            assert step["if"] == only
