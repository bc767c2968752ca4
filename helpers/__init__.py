"""What a notebook may import: the course's public face, loaded on first use."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.checks import check as check
    from helpers.checks import hint as hint
    from helpers.checks import progress as progress
    from helpers.checks import reset_progress as reset_progress
    from helpers.clients import async_client as async_client
    from helpers.clients import blocking_client as blocking_client
    from helpers.clients import model as model
    from helpers.controls import server_limits as server_limits
    from helpers.endpoint import show_endpoint as show_endpoint
    from helpers.endpoint import use_endpoint as use_endpoint
    from helpers.environment import check_environment as check_environment
    from helpers.heartbeat import Heartbeat as Heartbeat
    from helpers.lessons import practice as practice
    from helpers.observe import journal as journal
    from helpers.observe import last_request as last_request
    from helpers.observe import requests_seen as requests_seen
    from helpers.own_kernel import run_all as run_all
    from helpers.own_kernel import run_each as run_each
    from helpers.panels import side_by_side as side_by_side
    from helpers.timelines import recorded as recorded
    from helpers.timelines import timeline as timeline
    from helpers.views import show_widget as show_widget
    from helpers.web import serving as serving
    from helpers.web import show_page as show_page

_HOME = {
    "Heartbeat": "heartbeat",
    "async_client": "clients",
    "blocking_client": "clients",
    "check": "checks",
    "check_environment": "environment",
    "hint": "checks",
    "journal": "observe",
    "last_request": "observe",
    "model": "clients",
    "practice": "lessons",
    "progress": "checks",
    "recorded": "timelines",
    "requests_seen": "observe",
    "reset_progress": "checks",
    "run_all": "own_kernel",
    "run_each": "own_kernel",
    "server_limits": "controls",
    "serving": "web",
    "show_endpoint": "endpoint",
    "show_page": "web",
    "show_widget": "views",
    "side_by_side": "panels",
    "timeline": "timelines",
    "use_endpoint": "endpoint",
}
"""Each public name and the module that defines it. Loading waits until a name is used, so that
`import helpers` costs next to nothing and `matplotlib` is read only by those who draw."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    value = getattr(import_module(f"helpers.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)


if "ipykernel" in sys.modules or sys.platform == "emscripten":  # a notebook
    from IPython import get_ipython

    if (_shell := get_ipython()) is not None:
        if sys.platform == "emscripten":
            import_module("helpers.in_browser").mend(_shell)
        else:  # its ■ stops a cell that awaits at once
            import_module("helpers.interrupts").listen(_shell)
