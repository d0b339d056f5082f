"""Networks under test: any size, any channels, any of the known classes, asked about the same faces."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import evaluation, labels, models
from fer_tf.augment.photometric import to_gray
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with what must be known to ask it.

    Attributes:
        name: what it is called in reports.
        network: with facts.
        view: of a face, see ``fer_tf.evaluation.tta``.
    """

    name: str
    network: "keras.Model"
    view: str = "center"

    @property
    def metadata(self) -> models.ModelMetadata:
        """Its classes, and the size of face that it expects."""
        return models.metadata_of(self.network)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return calibrated logits (N, C) of faces of any size, uint8 (N, S, S, 1 or 3)."""
        fitted = resized(images, self.metadata.face_size)
        channels = self.network.input_shape[-1]
        if channels == 1 and fitted.shape[-1] == 3:
            fitted = np.rint(to_gray(fitted.astype(np.float32)))
        elif channels == 3 and fitted.shape[-1] == 1:
            fitted = fitted.repeat(3, axis=-1)
        return evaluation.logits(self.network, fitted, view=self.view) / np.float32(self.metadata.temperature)

    def targets(self, table: FaceTable) -> tuple[np.ndarray, np.ndarray]:
        """Return the faces' targets over its classes, float32 (M, C), and which M rows have a class there."""
        return labels.convert(table.targets, table.label_set, self.metadata.label_set)


def load(model: Path | str, view: str = "center") -> Subject:
    """Load a shipped network or a ``.keras`` file.

    Raises:
        UserError: no such model, or one without facts.
    """
    path = models.weights_path(model)
    subject = Subject(path.stem if path.stem != "model" else f"{path.parent.name}", models.load_model(model), view)
    _ = subject.metadata
    return subject
