"""Augmentation of batches in NumPy: the same bytes for every Keras backend.

An augmentation is a function of (images, targets, rng) that returns new images and targets; ``flip(p=0.5)`` makes one.
To add one, write its function and add one line to ``OPS``. Facts of a row: ``geometric`` (it only moves pixels),
``mixes_faces``, and ``leaves_points`` (it moves pixels without their landmarks).

Example:
    >>> import numpy as np, fer_tf
    >>> faces, targets = np.zeros((2, 48, 48, 1), "uint8"), np.eye(2, dtype="float32")
    >>> out, targets = fer_tf.augment.mixup(alpha=0.2)(faces, targets, np.random.default_rng(0))
"""

from fer_tf import registry
from fer_tf.registry import Registry

OPS = Registry("augmentation")
OPS.add("flip", "fer_tf.augment.geometry:flip", geometric=True)
OPS.add("affine", "fer_tf.augment.geometry:affine", geometric=True)
OPS.add("random_resized_crop", "fer_tf.augment.geometry:random_resized_crop", geometric=True)
OPS.add("random_crop", "fer_tf.augment.geometry:random_crop", geometric=True)
OPS.add("center_crop", "fer_tf.augment.geometry:center_crop", geometric=True)
OPS.add("resize", "fer_tf.augment.geometry:resize", geometric=True)
OPS.add("brightness", "fer_tf.augment.photometric:brightness")
OPS.add("contrast", "fer_tf.augment.photometric:contrast")
OPS.add("gamma", "fer_tf.augment.photometric:gamma")
OPS.add("noise", "fer_tf.augment.photometric:noise")
OPS.add("blur", "fer_tf.augment.photometric:blur")
OPS.add("erasing", "fer_tf.augment.mixing:erasing")
OPS.add("cutout", "fer_tf.augment.mixing:cutout")
OPS.add("mixup", "fer_tf.augment.mixing:mixup", mixes_faces=True)
OPS.add("cutmix", "fer_tf.augment.mixing:cutmix", mixes_faces=True)
OPS.add("sample_target", "fer_tf.augment.mixing:sample_target")
OPS.add("randaugment", "fer_tf.augment.photometric:randaugment", leaves_points=True)

__getattr__, __dir__, __all__ = registry.attach(
    __name__,
    *OPS.targets,
    "fer_tf.augment.pipeline:PRESETS",
    "fer_tf.augment.pipeline:Pipeline",
    "fer_tf.augment.pipeline:check_columns",
    "fer_tf.augment.pipeline:expand",
    "fer_tf.augment.pipeline:get",
    "fer_tf.augment.pipeline:insert_crop",
    "fer_tf.augment.pipeline:preset",
    own=["OPS"],
)
