"""Hold the sub-commands of ``fer-tf``, one module each.

A command's ``DESCRIPTION`` and ``EXAMPLES`` become the beginning and the end of its ``--help``.
"""
