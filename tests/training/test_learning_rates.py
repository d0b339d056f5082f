"""Schedules inside Keras."""

import keras
import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.training.optimizer_configs import TableSchedule

VALUES = [0.1, 0.3, 0.7]


def test_lookup_is_exact_and_keeps_the_last():
    schedule = TableSchedule(VALUES)
    found = [np.asarray(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 1, 2, 3, 99)]
    assert [x.item() for x in found] == np.float32([0.1, 0.3, 0.7, 0.7, 0.7]).tolist()
    assert found[0].dtype == np.float32 and found[0].shape == ()


def test_config_round_trip_is_exact():
    schedule = TableSchedule(np.random.default_rng(0).random(50))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    np.testing.assert_array_equal(again.values, schedule.values)


def test_an_empty_table_is_refused():
    with pytest.raises(UserError, match="one row"):
        TableSchedule([])


def line():
    """Return a model y = w·x whose loss has gradient 1 in w, whatever w is."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.zeros((1, 1), "float32")])
    return model


def slope(y_true, y_pred):
    return keras.ops.mean(y_pred)


def test_fit_steps_through_the_table():
    model = line()
    model.compile(keras.optimizers.SGD(TableSchedule([1.0, 0.5, 0.25, 0.125])), slope)
    model.fit(np.ones((4, 1)), np.ones((4, 1)), batch_size=2, epochs=2, verbose=0)
    assert model.get_weights()[0].item() == -1.875
