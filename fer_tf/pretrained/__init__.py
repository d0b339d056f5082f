"""Load the trained networks that ship with the package; each has its model card beside it."""

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
    """Return the path of a shipped network's file, or of the file that was given.

    Raises:
        UserError: There is no shipped network or file of that name.
    """
    shipped = {path.stem: path.name for path in FOLDER.glob("*.keras")} | PRETRAINED
    if str(name) in shipped:
        return FOLDER / shipped[str(name)]
    if not Path(name).is_file():
        names = ", ".join(sorted(shipped))
        raise UserError(f"No model {str(name)!r}. Expected one of {names}, or the path of a .keras file.")
    return Path(name)


def load_model(name: Path | str = "default") -> "keras.Model":
    """Load a trained network that ships with the package, or a ``.keras`` file.

    Args:
        name: Name of a shipped network (``"default"``, ``"ferplus"``, ``"ferplus-steady"``, ``"fer2013"``) or the path
            of a ``.keras`` file.

    Returns:
        A Keras model from pixels of shape (N, H, W, channels), from 0 to 255, to logits of shape (N, C). Its metadata
        names the classes.

    Raises:
        UserError: There is no shipped network or file of that name.

    Example:
        >>> import fer_tf
        >>> fer_tf.load_model("fer2013").output_shape
        (None, 7)
    """
    return models.load(path_of(name))
