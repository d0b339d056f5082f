import zipfile

import h5py
import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import DataError, UserError
from fer_tf.labels import LabelSet
from fer_tf.models.building import take_layers

# Three stages, which have every kind of layer: all seven compile for half a minute.
GHOSTFACE = "ghostface(width=0.5, filters=(8, 16, 16), depth=1, strides=(1, 1, 1))"


@pytest.fixture(autouse=True)
def clean():
    keras.utils.set_random_seed(0)
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


def weights(model):
    return {(x.name, w.path): np.asarray(w).copy() for x in model.layers for w in x.weights}


def pixels(n=8):
    return np.random.default_rng(0).uniform(0, 255, (n, 32, 32, 1)).astype("float32")


def pretrained(text=GHOSTFACE, classes=5):
    model = models.get(text, classes, (32, 32, 1))
    model(pixels(), training=True)
    return model


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_all_layers_but_the_classifier_are_taken(file, tmp_path):
    source = pretrained()
    source.save(tmp_path / file) if file == "m.keras" else source.save_weights(tmp_path / file)
    model = models.get(GHOSTFACE, 7, (32, 32, 1), dropout=0.3)
    own_head = model.get_layer("logits").get_weights()
    taken = models.load_backbone(model, tmp_path / file)
    assert taken == [x.name for x in model.layers if x.weights and x.name != "logits"]
    assert "stage3_block1_ghost1" in taken and "stage3_block1_attention" in taken and "stem_norm" in taken
    theirs = weights(source)
    for key, array in weights(model).items():
        assert key[0] == "logits" or np.array_equal(array, theirs[key]), key
    assert all(np.array_equal(a, b) for a, b in zip(own_head, model.get_layer("logits").get_weights(), strict=True))


def test_the_classifier_stays_even_where_the_classes_are_as_many(tmp_path):
    source = pretrained(classes=7)
    source.save(tmp_path / "m.keras")
    model = models.get(GHOSTFACE, 7, (32, 32, 1))
    assert "logits" not in models.load_backbone(model, tmp_path / "m.keras")
    assert "logits" in models.load_backbone(model, tmp_path / "m.keras", head=())


def test_layers_of_another_shape_are_left_alone(tmp_path):
    pretrained("vgg(width=0.1, filters=(64, 128), head='gap')").save(tmp_path / "m.keras")
    model = models.get("vgg(width=0.1, filters=(64, 256), head='gap')", 5, (32, 32, 1))
    before = weights(model)
    taken = models.load_backbone(model, tmp_path / "m.keras")
    assert taken == [f"block1_{kind}{i}" for i in (1, 2) for kind in ("conv", "norm")]
    for key, array in weights(model).items():
        if key[0] not in taken:
            assert np.array_equal(array, before[key])


def test_the_older_h5_is_read_by_name(tmp_path):
    source = pretrained("vgg(width=0.1, filters=(64,), head='gap')")
    for place in ("", "model_weights"):
        with h5py.File(tmp_path / "old.h5", "w") as file:
            root = file.create_group(place) if place else file
            named = [x for x in source.layers if x.weights]
            root.attrs["layer_names"] = [x.name.encode() for x in named]
            for layer in named:
                group = root.create_group(layer.name)
                group.attrs["weight_names"] = [f"{layer.name}/{w.name}:0".encode() for w in layer.weights]
                for w in layer.weights:
                    group[f"{layer.name}/{w.name}:0"] = np.asarray(w)
        model = models.get("vgg(width=0.1, filters=(64,), head='gap')", 7, (32, 32, 1))
        assert len(models.load_backbone(model, tmp_path / "old.h5")) == 4
        x = model.get_layer("block1_norm2")
        assert all(
            np.array_equal(a, b)
            for a, b in zip(x.get_weights(), source.get_layer("block1_norm2").get_weights(), strict=True)
        )


def test_weights_as_an_argument_of_the_builder(tmp_path):
    call = "efficientnet_b0(width=0.1, depth=1{})"
    source = pretrained(call.format(""))
    source.save_weights(tmp_path / "m.weights.h5")
    model = models.get(call.format(f", weights={str(tmp_path / 'm.weights.h5')!r}"), 8, (32, 32, 1))
    for name in ("stem_conv", "block3a_se_reduce", "top_bn"):
        for a, b in zip(model.get_layer(name).get_weights(), source.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_mistakes(tmp_path):
    model = pretrained("vgg(width=0.1, filters=(64,), head='gap')")
    with pytest.raises(UserError, match=r"No weights at .*none\.keras"):
        models.load_backbone(model, tmp_path / "none.keras")
    for name in ("bad.h5", "bad.keras"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(DataError, match=rf"{name} holds no weights"):
            models.load_backbone(model, tmp_path / name)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="else")]).save(tmp_path / "else.keras")
    with pytest.raises(UserError, match=r"has no layer of 'vgg'"):
        models.load_backbone(model, tmp_path / "else.keras")


SMALL = "vgg(width=0.1, filters=(64,), head='gap')"


def elsewhere(kind, target, secret):
    """Put a data set, or a link, in the place of a kernel, whose values are those of another file."""
    place = next(name for name in target["layers"] if "conv" in name)
    group = target["layers"][place]["vars"]
    shape = group["0"].shape
    del group["0"]
    if kind == "external":
        group.create_dataset("0", shape, "float32", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape, "float32")
        layout[...] = h5py.VirtualSource(str(secret), "kernel", shape)
        group.create_virtual_dataset("0", layout)
    elif kind == "link":
        group["0"] = h5py.ExternalLink(str(secret), "kernel")
    return shape


@pytest.mark.parametrize("kind", ["external", "virtual", "link"])
@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_weights_that_other_files_hold_are_refused(kind, file, tmp_path):
    model = pretrained(SMALL)
    model.save_weights(tmp_path / "w.weights.h5")
    secret = tmp_path / "secret"
    with h5py.File(tmp_path / "w.weights.h5", "a") as target:
        shape = elsewhere(kind, target, secret)
    if kind == "external":
        secret.write_bytes(np.ones(shape, "float32").tobytes())
    else:
        with h5py.File(secret, "w") as other:
            other["kernel"] = np.ones(shape, "float32")
    path = tmp_path / file
    if file == "m.keras":
        model.save(tmp_path / "whole.keras")
        with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", whole.read("config.json"))
            archive.write(tmp_path / "w.weights.h5", "model.weights.h5")
    else:
        (tmp_path / "w.weights.h5").rename(path)
    with pytest.raises(DataError, match=r"/vars/0 in it is read from another file"):
        models.load_backbone(models.get(SMALL, 7, (32, 32, 1)), path)
    if file == "m.keras":
        with pytest.raises(DataError, match=r"m\.keras cannot be loaded"):
            models.load_model(path)


def test_old_weights_of_another_shape_are_not_read(tmp_path):
    model = models.get(SMALL, 7, (32, 32, 1))
    with h5py.File(tmp_path / "old.h5", "w") as file:  # 16 GB of zeros in a kilobyte
        file.attrs["layer_names"] = [b"block1_conv1", b"block1_norm1"]
        for name in ("block1_conv1", "block1_norm1"):
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel"]
            group.create_dataset("kernel", (2**32,), "float32", chunks=(2**20,), compression="gzip")
    with pytest.raises(UserError, match="has no layer of 'vgg'"):
        models.load_backbone(model, tmp_path / "old.h5")


@pytest.mark.parametrize("attribute", [3, b"x", [[b"a"]], "\ud800".encode("utf-8", "surrogatepass")])
def test_old_weights_with_broken_names_are_one_line(tmp_path, attribute):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = attribute
    with pytest.raises(DataError, match=r"old\.h5 holds no weights"):
        models.load_backbone(pretrained(SMALL), tmp_path / "old.h5")


def test_take_layers_needs_every_shape_of_a_layer():
    model = pretrained("vgg(width=0.1, filters=(64,), head='gap')")
    kernel, bias = model.get_layer("block1_conv1").get_weights()
    assert take_layers(model, {"block1_conv1": [kernel]}) == []
    assert take_layers(model, {"block1_conv1": [kernel, bias + 1], "block1_relu1": []}) == ["block1_conv1"]
    np.testing.assert_array_equal(np.asarray(model.get_layer("block1_conv1").bias), bias + 1)


def step(model):
    x, y = pixels(), np.eye(7, dtype="float32")[np.arange(8) % 7]
    model.compile(keras.optimizers.SGD(0.5), keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)


@pytest.mark.slow
def test_a_frozen_backbone_does_not_move_and_its_head_does():
    model = models.get(GHOSTFACE, 7, (32, 32, 1))
    models.freeze_backbone(model)
    assert [w.path for w in model.trainable_weights] == ["logits/kernel", "logits/bias"]
    before = weights(model)
    step(model)
    for key, array in weights(model).items():
        assert np.array_equal(array, before[key]) == (key[0] != "logits"), key
    models.unfreeze(model)
    before = weights(model)
    step(model)
    still = [key for key, array in weights(model).items() if np.array_equal(array, before[key])]
    assert not still


def test_a_head_of_several_layers():
    model = models.get("vgg(width=0.05, head=(64,))", 7, (32, 32, 1))
    models.freeze_backbone(model, ("dense1", "logits"))
    assert len(model.trainable_weights) == 4
    with pytest.raises(UserError, match="'vgg' has no layer 'dense2'"):
        models.freeze_backbone(model, ("dense2", "logits"))


PLAIN = "vgg(width=0.1, filters=(64, 128), depth=1, head='gap')"
FIVE = LabelSet("five", tuple("abcde"))


def saved(path, text=PLAIN, label_set=FIVE):
    network = pretrained(text, len(label_set))
    models.save_model(network, path, models.ModelMetadata(label_set, 32))
    return weights(network)


def test_a_run_begins_from_all_of_a_network_of_the_same_classes(tmp_path):
    theirs = saved(tmp_path / "m.keras")
    model = models.get(PLAIN, 5, (28, 28, 1))
    assert "logits" in models.initialize_from(model, tmp_path / "m.keras", FIVE)
    assert all(np.array_equal(array, theirs[key]) for key, array in weights(model).items())


@pytest.mark.parametrize("classes", ["abced", "abcdef"])
def test_a_run_begins_from_the_backbone_alone_where_the_classes_are_others(classes, tmp_path):
    theirs = saved(tmp_path / "m.keras")
    model = models.get(PLAIN, len(classes), (32, 32, 1))
    own = model.get_layer("logits").get_weights()
    assert "logits" not in models.initialize_from(model, tmp_path / "m.keras", LabelSet("others", tuple(classes)))
    for key, array in weights(model).items():
        assert key[0] == "logits" or np.array_equal(array, theirs[key])
    assert np.array_equal(own[0], model.get_layer("logits").get_weights()[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("0.1", "0.2"), r"m\.keras cannot start 'vgg': its layer '.*' has another shape"),
        ("ghostface(width=0.5, filters=(8,), depth=1, strides=(1,))", "it has none of the layers"),
    ],
)
def test_a_network_built_otherwise_cannot_start_a_run(text, message, tmp_path):
    saved(tmp_path / "m.keras")
    with pytest.raises(UserError, match=message):
        models.initialize_from(models.get(text, 5, (32, 32, 1)), tmp_path / "m.keras", FIVE)
