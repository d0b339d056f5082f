"""Networks that ship with the package, each with its model card beside it."""

from pathlib import Path

FOLDER = Path(__file__).parent
