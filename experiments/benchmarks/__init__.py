"""Measure this package beside others: rows, their jobs, and processes.

At their top, modules import the standard library and NumPy alone: the Pythons of other packages import them, too.
"""
