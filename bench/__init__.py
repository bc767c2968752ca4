"""Measurements: each compares things in one run. Nothing here is part of the tests."""
