"""A small network to export, and pictures as files."""

import io

import keras
import numpy as np

from fer_tf import models
from fer_tf.labels import LabelSet

MOODS = LabelSet("moods", ("glad", "cross", "weary", "awake"))


def network(channels=1, seed=3):
    """A small network with batch-norm, whose moving statistics are no trainable weights."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((28, 28, channels))
    x = keras.layers.Rescaling(1 / 64, offset=-2.0)(inputs)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("relu")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
    made = keras.Model(inputs, keras.layers.Dense(len(MOODS), kernel_initializer="glorot_normal")(x))
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            rng = np.random.default_rng(seed)
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    made.metadata = models.ModelMetadata(MOODS, 32, temperature=1.3)
    return made


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def strings(*files):
    return np.array(files, object)
