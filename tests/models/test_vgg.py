import keras
import numpy as np
import pytest

from fer_tf import models


@pytest.fixture(autouse=True)
def clean():
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


def layer_parameters(model, kind):
    return sum(layer.count_params() for layer in model.layers if isinstance(layer, kind))


def moving_statistics(model):
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return sum(int(np.prod(w.shape)) for layer in norms for w in layer.non_trainable_weights)


def test_the_study_network_has_the_published_layers():
    model = models.get("vgg", num_classes=7)
    assert model.get_layer("flatten").output.shape == (None, 2048)
    assert model.get_layer("features").output.shape == (None, 5, 5, 512)
    convolutions_and_norms = 4_688_064 + 3_840
    assert (
        layer_parameters(model, keras.layers.Conv2D) + layer_parameters(model, keras.layers.BatchNormalization)
        == convolutions_and_norms
    )
    assert [model.get_layer(n).count_params() for n in ("dense1", "dense2", "logits")] == [
        8_392_704,
        16_781_312,
        28_679,
    ]
    assert moving_statistics(model) == 3_840
    rates = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
    assert rates == {"dense1_dropout": 0.2, "dense2_dropout": 0.2}


def test_vgg13_has_the_published_layers():
    model = models.get("vgg13", num_classes=8)
    assert layer_parameters(model, keras.layers.Conv2D) == 3_504_576
    assert moving_statistics(model) == 0
    rates = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
    assert rates == {f"block{b}_dropout": 0.25 for b in (1, 2, 3, 4)} | {"dense1_dropout": 0.5, "dense2_dropout": 0.5}


def test_vgg19_moving_statistics_and_dropout():
    model = models.get("vgg19", num_classes=7)
    assert moving_statistics(model) == 11_008
    assert model.get_layer("dropout").rate == 0.5
    assert models.get("vgg19(width=0.05, dropout=0.1)", num_classes=7).get_layer("dropout").rate == 0.1
    assert models.get("vgg19(width=0.05)", num_classes=7, dropout=0.3).get_layer("dropout").rate == 0.3


def test_batch_norm_is_torchs():
    norm = models.get("vgg(width=0.05)", num_classes=7).get_layer("block1_norm1")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_pixels_are_scaled_inside():
    model = models.get("vgg(width=0.1, head='gap', filters=(64,))", num_classes=3, input_shape=(8, 8, 1))
    scaled = keras.Model(model.input, model.get_layer("scale").output)
    np.testing.assert_allclose(np.asarray(scaled(np.full((1, 8, 8, 1), 255.0))), 1.0)


def test_batch_norm_can_be_left_out():
    keras.utils.set_random_seed(0)
    model = models.get("vgg(width=0.1, batch_norm=False)", num_classes=7)
    assert moving_statistics(model) == 0
    features = np.asarray(keras.Model(model.input, model.get_layer("features").output)(np.full((1, 40, 40, 1), 128.0)))
    assert features.std() > 0.01  # a signal is left after eight layers


def test_spatial_dropout_drops_whole_maps():
    keras.utils.set_random_seed(0)
    model = models.get(
        "vgg(width=0.5, filters=(64,), head='gap', batch_norm=False, spatial_dropout=0.5)", 3, (16, 16, 1)
    )
    dropped = keras.Model(model.input, model.get_layer("block1_dropout").output)
    x = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 1))
    before, after = (np.asarray(dropped(x, training=t))[0].reshape(-1, 32) for t in (False, True))
    gone = (after == 0).all(axis=0)
    alive = ~(before == 0).all(axis=0)
    assert 4 < (gone & alive).sum() < alive.sum() - 4
    assert ((before > 0) & (after == 0))[:, ~gone].sum() == 0


@pytest.mark.parametrize(("head", "layers"), [("'gap'", []), ("()", []), ("('gap', 64)", [16]), ("(64,)", [16])])
def test_heads(head, layers):
    model = models.get(f"vgg(width=0.25, head={head})", num_classes=7)
    dense = [x.units for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert dense == [*layers, 7]
    pooled = any(isinstance(x, keras.layers.GlobalAveragePooling2D) for x in model.layers)
    assert pooled == (head != "(64,)")


def test_large_color_images():
    model = models.get("vgg(width=0.05, head='gap')", num_classes=7, input_shape=(224, 224, 3))
    assert model(np.zeros((1, 224, 224, 3))).shape == (1, 7)


def test_logits_stay_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for name in ("vgg", "vgg13"):
            model = models.get(f"{name}(width=0.05)", num_classes=7, input_shape=(48, 48, 1))
            x = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
            assert keras.backend.standardize_dtype(model(x).dtype) == "float32"
            first = model.get_layer("normalize" if name == "vgg13" else "scale")
            assert first.compute_dtype == ("float32" if name == "vgg13" else "bfloat16")
    finally:
        keras.config.set_dtype_policy("float32")


def test_vgg13_with_batch_norm_has_a_scale_and_an_offset_a_channel_more():
    plain, normed = (models.get(f"vgg13(width=0.05{x})", num_classes=8) for x in ("", ", batch_norm=True"))
    channels = [x.filters for x in plain.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(channels) == 10
    trained = [sum(w.numpy().size for w in m.trainable_weights) for m in (plain, normed)]
    assert trained[1] - trained[0] == 2 * sum(channels)


def test_vgg13_normalization_is_a_choice():
    assert models.get("vgg13(width=0.05, normalization='rescale')", num_classes=8).get_layer("scale")
    with pytest.raises(ValueError, match=r"Unknown normalization 'none'\. Available: ferplus, rescale"):
        models.get("vgg13(normalization='none')", num_classes=8)


@pytest.mark.parametrize(("name", "blocks"), [("vgg", 4), ("vgg13", 4), ("vgg16", 5), ("vgg19", 5)])
def test_depth_and_head_are_arguments_of_all(name, blocks):
    model = models.get(f"{name}(width=0.05, depth=1, head=(200, 100))", num_classes=5, input_shape=(48, 48, 1))
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    dense = [x.units for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert len(convolutions) == blocks and dense == [10, 5, 5]
    assert model.get_layer(models.MODELS[name].load().gradcam_layer)
