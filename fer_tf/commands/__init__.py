"""Hold the sub-commands of ``fer-tf``: a module each, with ``add_arguments(parser)`` and ``run(options)``.

A command's ``DESCRIPTION`` and ``EXAMPLES`` become the beginning and the end of its ``--help``.
"""
