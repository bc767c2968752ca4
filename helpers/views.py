"""Shows a live widget, and leaves nothing of it in the stored notebook."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import DOMWidget

VIEW = "application/vnd.jupyter.widget-view+json"


def show_widget(widget: "DOMWidget") -> None:
    """Show a widget, as `display(widget)` does, and leave nothing of it in the stored notebook.

    Without the kernel that made it a view is dead: "Error displaying widget".
    """
    shown(widget)


def shown(widget: "DOMWidget") -> Any:
    """Show a widget's view; return IPython's handle of it, by which it can be taken away."""
    from IPython.display import display

    # The view alone: a text beside it would stay in the stored notebook and name a dead object.
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return display({VIEW: view}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
