"""Measure this package beside others: rows, their jobs, and processes.

Modules are imported by the Pythons of other packages too; at their top they import the standard library alone.
"""
