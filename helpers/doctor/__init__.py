"""Explains a forgotten await where it shows up: `%load_ext helpers.doctor`.

From then on a cell that ends in one of the mistakes listed in `symptoms` gets a short card under
its usual output: what the object is, how many requests reached the server, the line to change and
what to, and the lesson that explains it. Correct cells get nothing. It reads what a cell has left
behind; it changes nothing and hides nothing, and any code that uses the SDK may be looked at.
"""

from helpers.doctor.visit import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
