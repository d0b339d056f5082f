"""Real photographs that come inside other packages, and the ONNX network that ours must equal."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import skimage.data
from PIL import Image


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Photographs as uint8 (H, W, 3); the first three show one face, one small and one large, the others none."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    names = ("camera", "chelsea", "coffee", "rocket")
    found = {"astronaut": skimage.data.astronaut(), "hopper": np.asarray(Image.open(hopper).convert("RGB"))}
    for name in names:
        image = getattr(skimage.data, name)()
        found[name] = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    return found
