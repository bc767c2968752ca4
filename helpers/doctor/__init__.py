"""Explains a forgotten await where it shows up: `%load_ext helpers.doctor`.

From then on a cell that ends in one of the mistakes that `errors`, `leftovers` and `syntax` know
gets a short card under its usual output: what the object is, how many requests reached the server
where that is known, the line to change and what to, and the lesson that explains it. The line works
as it stands; where none could be relied on, there is none. Correct cells get nothing. It reads
what a cell has left behind; it changes nothing and hides nothing, and any code that uses the SDK
may be looked at.
"""

from helpers.doctor.visit import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
