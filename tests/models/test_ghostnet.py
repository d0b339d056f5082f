import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.models.ghostnet import STAGES


@pytest.fixture(autouse=True)
def clean():
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize(("classes", "trainable"), [(7, 3_910_475), (8, 3_911_756)])
def test_counts(classes, trainable):
    model = models.get("ghostnet", num_classes=classes)
    assert (count(model.trainable_weights), count(model.non_trainable_weights)) == (trainable, 21_968)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "millions"), [(0.5, 2.6), (1.3, 7.3)])
def test_other_widths_are_as_large_as_the_paper_says(width, millions):
    model = models.get(f"ghostnet(width={width})", num_classes=1000)
    assert count(model.trainable_weights) / 1e6 == pytest.approx(millions, abs=0.1)


def test_sixteen_bottlenecks_and_their_sizes():
    model = models.get("ghostnet(width=0.25)", num_classes=7)
    blocks = [x for x in model.layers if x.name.startswith("stage") and isinstance(x, keras.layers.Add)]
    assert len(blocks) == sum(map(len, STAGES)) == 16
    assert [x.output.shape[1] for x in blocks] == [112] + [56] * 2 + [28] * 2 + [14] * 6 + [7] * 5
    squeezed = [x.name for x in model.layers if x.name.endswith("_squeeze_scale")]
    assert len(squeezed) == 7
    assert model.get_layer("features").output.shape[1:3] == (7, 7)


def test_no_relu_after_a_bottleneck():
    model = models.get("ghostnet(width=0.1, depth=1)", 7, (64, 64, 3))
    x = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    out = keras.Model(model.input, model.get_layer("stage2_block1").output)(x, training=True)
    assert np.asarray(out).min() < 0
