"""Measure this package beside others: the rows, the jobs behind them, and the processes that do the jobs.

Modules are imported by the Pythons of other packages too; at their top they import the standard library alone.
"""
