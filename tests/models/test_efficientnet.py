import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError


@pytest.fixture(autouse=True)
def clean():
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize(
    ("call", "classes", "trainable", "statistics"),
    [
        ("efficientnet_b0", 8, 4_017_796, 42_016),
        ("efficientnet_b0(valence_arousal=True)", 8, 4_020_358, 42_016),
        pytest.param("efficientnet_b2", 7, 7_710_857, 67_568, marks=pytest.mark.slow),
        pytest.param("efficientnet_b2", 8, 7_712_266, 67_568, marks=pytest.mark.slow),
    ],
)
def test_counts(call, classes, trainable, statistics):
    model = models.get(call, num_classes=classes)
    assert (count(model.trainable_weights), count(model.non_trainable_weights)) == (trainable, statistics)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "size"), [("efficientnet_b0", 64), ("efficientnet_b2", 65)])
def test_equals_the_network_of_keras_applications_with_the_same_weights(row, size, tmp_path):
    keras.utils.set_random_seed(1)
    application = keras.applications.EfficientNetB0 if row.endswith("b0") else keras.applications.EfficientNetB2
    theirs = application(include_top=False, weights=None, input_shape=(size, size, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    normalization = theirs.get_layer("normalization")
    normalization.set_weights([np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]) ** 2, np.int32(0)])
    normalization.finalize_state()
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics of one batch, under which the signal does not fade
    theirs(x, training=True)
    theirs.save_weights(tmp_path / "notop.weights.h5")
    ours = models.get(row, num_classes=8, input_shape=(size, size, 3))
    taken = models.load_backbone(ours, tmp_path / "notop.weights.h5")
    assert set(taken) == {x.name for x in theirs.layers if x.weights and x.name != "normalization"}
    features = np.asarray(keras.Model(ours.input, ours.get_layer("features").output)(x))
    assert features.std() > 0.1
    np.testing.assert_allclose(features, np.asarray(theirs(x)), atol=1e-3 * features.std())


def test_gray_images_are_repeated_to_three_channels():
    keras.utils.set_random_seed(0)
    call = "efficientnet_b0(width=0.1, depth=1)"
    gray, color = (models.get(call, 8, (64, 64, channels)) for channels in (1, 3))
    color.set_weights(gray.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1)).astype("float32")
    np.testing.assert_array_equal(np.asarray(gray(x)), np.asarray(color(np.repeat(x, 3, axis=3))))
    with pytest.raises(UserError, match="1 or 3 channels"):
        models.get(call, 8, (64, 64, 4))


def test_pixels_are_standardized_by_imagenets_mean_and_deviation():
    model = models.get("efficientnet_b0(width=0.1, depth=1)", 8, (32, 32, 3))
    scaled = keras.Model(model.input, model.get_layer("scale").output)(np.full((1, 32, 32, 3), 255.0))
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(np.asarray(scaled)[0, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("call", ["efficientnet_b0(width=0.1, depth=1", "resnet10(width=0.1"])
def test_valence_and_arousal_come_from_the_same_dense_layer(call, tmp_path):
    model = models.get(f"{call}, valence_arousal=True)", 8, (48, 48, 1))
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert [x.units for x in dense] == [10]
    x = np.random.default_rng(0).uniform(0, 255, (3, 48, 48, 1)).astype("float32")
    out = model(x)
    ten = np.asarray(keras.Model(model.input, dense[0].output)(x))
    np.testing.assert_array_equal(np.asarray(models.logits_of(out)), ten[:, :8])
    np.testing.assert_array_equal(np.asarray(out["valence_arousal"]), ten[:, 8:])
    model.save(tmp_path / "m.keras")
    again = models.load_model(tmp_path / "m.keras")(x)
    assert sorted(again) == ["logits", "valence_arousal"]
    for key in again:
        np.testing.assert_array_equal(np.asarray(again[key]), np.asarray(out[key]))


def test_block_skipping_grows_up_to_the_dropout():
    model = models.get("efficientnet_b0(width=0.1, dropout=0.4)", 8, (32, 32, 3))
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout) and x.name.startswith("block")]
    skips = (2, 4, 6, 7, 9, 10, 12, 13, 14)  # blocks that keep their shape, of 16
    np.testing.assert_allclose(rates, [0.4 * b / 16 for b in skips])
    assert model.get_layer("dropout").rate == 0.4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("stem_stride=3", "stem_stride 1 or 2"),
        ("width=0.1, depth=1, weights='/nowhere/w.h5'", r"No model '/nowhere/w\.h5'"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        models.get(f"efficientnet_b0({call})", num_classes=8)


def test_imagenet_without_a_network_says_what_to_do(monkeypatch):
    def EfficientNetB0(*args, **keywords):
        raise Exception("URL fetch failure on https://host/file: None")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", EfficientNetB0)
    with pytest.raises(UserError, match=r"Cannot download ImageNet's weights of EfficientNetB0: URL.*weights='PATH'"):
        models.get("efficientnet_b0(width=0.1, depth=1, weights='imagenet')", 8, (32, 32, 3))


def test_imagenet_takes_the_layers_of_keras_applications(monkeypatch):
    asked = {}

    class Application:
        def __init__(self, **keywords):
            asked.update(keywords)
            source = models.get("efficientnet_b0(width=0.1, depth=1)", 3, (32, 32, 3))
            source.get_layer("top_conv").set_weights([np.full(source.get_layer("top_conv").kernel.shape, 0.5)])
            self.layers = source.layers

    monkeypatch.setattr(keras.applications, "EfficientNetB0", Application)
    model = models.get("efficientnet_b0(width=0.1, depth=1, weights='imagenet')", 8, (32, 32, 3))
    assert asked["weights"] == "imagenet" and asked["include_top"] is False
    assert (np.asarray(model.get_layer("top_conv").kernel) == 0.5).all()
    assert model.output_shape == (None, 8)
