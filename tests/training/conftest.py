"""What the tests of training share."""

from pathlib import Path

import pytest


@pytest.fixture
def interrupted():
    """Give a function that ends a run as a killed process does at its worst.

    The model and the history of the epoch after ``epochs`` are written, and its checkpoint is not.
    """

    def interrupt(execute, folder: Path, epochs: int = 1) -> None:
        """Call ``execute`` with a rule that has a folder in the place of the checkpoint after so many epochs."""
        checkpoint, kept = folder / "checkpoint.npz", folder / "kept.npz"

        def block(config, folder, history):
            if len(history) == epochs:
                checkpoint.rename(kept)
                checkpoint.mkdir()
            return ""

        with pytest.raises(OSError, match=r"checkpoint\.npz"):
            execute(stop=block)
        checkpoint.rmdir()
        kept.rename(checkpoint)

    return interrupt
