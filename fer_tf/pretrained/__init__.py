"""Networks that ship with the package, by name; each lies beside this file with its model card."""

from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import models
from fer_tf.errors import UserError

if TYPE_CHECKING:
    import keras

FOLDER = Path(__file__).parent
# Short names of what ``load_model`` returns, beside those of the files.
PRETRAINED = {"default": "ferplus.keras", "ferplus": "ferplus.keras", "fer2013": "fer2013.keras"}


def path_of(name: Path | str) -> Path:
    """Return the file of a shipped network, or the path that was given.

    Raises:
        UserError: neither a shipped name nor a file.
    """
    shipped = {path.stem: path.name for path in FOLDER.glob("*.keras")} | PRETRAINED
    if str(name) in shipped:
        return FOLDER / shipped[str(name)]
    if not Path(name).is_file():
        names = ", ".join(sorted(shipped))
        raise UserError(f"No model {str(name)!r}. Expected one of {names}, or the path of a .keras file.")
    return Path(name)


def load_model(name: Path | str = "default") -> "keras.Model":
    """Load a network that ships with the package, or one from a ``.keras`` file.

    Args:
        name: one of ``PRETRAINED``, a file of this folder without its suffix, or a path.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C); its attribute ``facts`` names the classes,
        see ``fer_tf.models.Facts``.

    Raises:
        UserError: no such name or file.
    """
    return models.load(path_of(name))
