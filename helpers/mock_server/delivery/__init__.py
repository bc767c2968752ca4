"""How a call comes in and when its answer leaves."""
