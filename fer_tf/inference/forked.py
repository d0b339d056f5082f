"""Notice processes that were forked after TensorFlow started."""

import os

from fer_tf.errors import UserError

__all__ = ["check_process"]

# The process that first used a network; a fork has its parent's number here.
_first: list[int] = []


def check_process() -> None:
    """Remember the process that uses networks, and refuse one that was forked from it.

    Raises:
        UserError: This process was forked after its parent had used a network.

    Example:
        >>> check_process()
    """
    if not _first:
        _first.append(os.getpid())
    elif _first[0] != os.getpid():
        raise UserError(
            "This process was forked after its parent had used a network, and TensorFlow would hang in it. Start "
            "processes with multiprocessing.get_context('spawn'), or load the network after the fork only."
        )
