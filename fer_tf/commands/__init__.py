"""Hold the sub-commands of ``fer-tf``, one module each, and shared flags.

A command's ``DESCRIPTION`` and ``EXAMPLES`` become the beginning and the end of its ``--help``.
"""

import argparse

from fer_tf.errors import UserError


def add_prior(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how frequent the classes are."""
    add = parser.add_argument_group("frequency of the classes").add_argument
    add("--prior", default="training", metavar="PRIOR",
        help='how frequent the classes are among these faces: "training", as in the training data; "uniform", which '
        'favors rare classes; or shares of all classes, "happy=0.5,sad=0.2,…" (default %(default)s)')  # fmt: skip
    add("--strength", type=float, default=1.0, metavar="S",
        help="how much of that change is applied, from 0 to 1 (default %(default)s)")  # fmt: skip


def read_prior(text: str) -> str | dict[str, float]:
    """Read the value of ``--prior``.

    Raises:
        UserError: neither a name nor shares.

    Example:
        >>> read_prior("good=0.75, bad=0.25")
        {'good': 0.75, 'bad': 0.25}
    """
    if "=" not in text:
        return text
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise UserError(f"--prior {text!r} cannot be read. Expected class=share,class=share,…") from None
