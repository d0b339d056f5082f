"""What is explained: classes, layers, batches, nested networks; and what cannot be."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import fer_tf
from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.explain import METHODS, GradCAM, get, heatmaps
from fer_tf.explain.explainer import class_index
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.labels import FER2013, FERPLUS, LabelSet

SIDES = LabelSet("sides", ("left", "right", "happy"))


def backbone(images):
    x = layers.Rescaling(1 / 64, offset=-2, name="scale")(images)
    x = layers.Conv2D(6, 3, strides=2, activation="relu", name="early")(x)
    return layers.Conv2D(8, 3, activation="relu", name="features")(x)


def head(x):
    return layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    images = keras.Input((14, 12, 1))
    made = keras.Model(images, head(backbone(images)), name="small")
    made.metadata = models.ModelMetadata(SIDES, 16, gradcam_layer="features")
    return made


def pixels(count, shape=(14, 12, 1), seed=0):
    """Faces of 4×4 even squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, shape[2])).astype("float32")
    return squares.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[0], : shape[1]]


def test_by_default_each_face_s_most_probable_class_is_explained(network):
    faces = pixels(12)
    found = GradCAM(network).explain(faces)
    logits = network(faces).numpy()
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    np.testing.assert_array_equal(found.classes, logits.argmax(axis=1))
    assert len(set(found.classes)) > 1, "a weak test otherwise"
    for number in set(found.classes.tolist()):
        rows = found.classes == number
        np.testing.assert_allclose(found.raw[rows], GradCAM(network).explain(faces, number).raw[rows], atol=1e-7)


def test_classes_go_by_name_or_number_for_all_faces_or_for_each(network):
    faces = pixels(3)
    named = heatmaps(network, faces, classes=["left", 1, "happiness"])
    for i, number in enumerate((0, 1, 2)):
        np.testing.assert_array_equal(named[i], heatmaps(network, faces, classes=number)[i])
    np.testing.assert_array_equal(heatmaps(network, faces, classes="right"), heatmaps(network, faces, classes=1))
    assert np.abs(heatmaps(network, faces, classes=0) - heatmaps(network, faces, classes=1)).max() > 0.1


def test_nouns_and_adjectives_name_the_same_class():
    assert class_index(FERPLUS, "happy") == FERPLUS.index("happiness")
    assert class_index(FER2013, "happiness") == class_index(FER2013, "Happy") == FER2013.index("happy")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("hapy", "Unknown class of sides 'hapy'. Available: happy, left, right."),
        (3, "No class 3. Network 'small' has 0 to 2."),
        (-1, "No class -1."),
        (["left"], "1 classes for 2 faces."),
    ],
)
def test_a_wrong_class_is_named(network, classes, message):
    with pytest.raises(UserError, match=f"^{message.replace('.', '[.]')}"):
        heatmaps(network, pixels(2), classes=classes)


def test_a_class_without_effect_is_refused(network):
    with pytest.raises(UserError, match="Eigen-CAM draws one map for all classes"):
        heatmaps(network, pixels(2), "eigencam", classes="left")


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "layercam", "scorecam", "eigencam"])
def test_a_batch_equals_single_faces(network, method):
    faces = pixels(9)
    explainer = METHODS[method].load()(network, batch_size=4)
    whole = explainer.explain(faces)
    singles = [explainer.explain(face[None]) for face in faces]
    for part in ("heat", "raw", "logits"):
        joined = np.concatenate([getattr(s, part) for s in singles])
        np.testing.assert_allclose(getattr(whole, part), joined, atol=1e-5, err_msg=part)
    assert whole.heat.shape == (9, 14, 12) and whole.raw.shape == (9, 4, 3)


def test_heat_is_the_raw_map_without_its_negative_part_enlarged_and_scaled(network):
    found = GradCAM(network).explain(pixels(6), [0, 1, 2, 0, 1, 2])
    assert (found.raw < 0).any(), "a weak test otherwise"
    for raw, heat in zip(np.maximum(found.raw, 0), found.heat, strict=True):
        large = keras.ops.image.resize(raw[..., None], (14, 12), interpolation="bilinear").numpy()[..., 0]
        np.testing.assert_allclose(heat, large / large.max(), atol=1e-6)


def test_where_nothing_speaks_for_the_class_the_map_is_zero(network):
    dead = keras.models.clone_model(network)
    dead.set_weights(network.get_weights())
    dead.get_layer("logits").set_weights([np.zeros((96, 3), np.float32), np.zeros(3, np.float32)])
    for method in ("gradcam", "gradcam++", "layercam"):
        found = get(method, dead, "features").explain(pixels(2))
        assert not found.heat.any() and np.isfinite(found.raw).all()
    gray = np.full((1, 14, 12, 1), 128.0)  # which is the scale's zero
    for method in ("eigencam", "scorecam"):
        found = get(method, network, "early").explain(gray)
        assert not found.heat.any() and np.isfinite(found.raw).all()


def test_a_layer_may_be_chosen(network):
    assert GradCAM(network, layer="early").explain(pixels(1)).raw.shape == (1, 6, 5)


def test_a_wrong_layer_lists_those_there_are(network):
    listed = r"Layers whose output is \(N, h, w, channels\): scale, early, features\.$"
    with pytest.raises(UserError, match=rf"^No layer 'stage9' in network 'small'\. {listed}"):
        heatmaps(network, pixels(1), layer="stage9")
    with pytest.raises(UserError, match=rf"^Layer 'flat' gives no maps in network 'small'\. {listed}"):
        heatmaps(network, pixels(1), layer="flat")
    images = keras.Input((14, 12, 1))
    with pytest.raises(UserError, match=rf"^Network 'mute' does not say which layer .* {listed}"):
        heatmaps(keras.Model(images, head(backbone(images)), name="mute"), pixels(1))


def test_a_layer_beside_the_way_to_the_logits_is_refused():
    images = keras.Input((14, 12, 1))
    outputs = {"logits": head(images), "mask": layers.Conv2D(1, 3, name="aside")(images)}
    with pytest.raises(UserError, match="Layer 'aside' does not lead to the logits"):
        heatmaps(keras.Model(images, outputs), pixels(1), layer="aside")


def test_a_layer_of_several_maps_a_face_is_refused():
    network = models.get("ran(width=0.05, depth=1, stem='strided', region_size=32)", 4, (32, 32, 1))
    with pytest.raises(UserError, match="Layer 'region_features' gives 6 maps for each face"):
        heatmaps(network, pixels(2, (32, 32, 1)), layer="region_features")


def test_faces_of_another_shape_are_refused_where_nothing_says_how_to_prepare_them(network):
    mute = keras.Model(network.inputs, network.outputs, name="mute")
    for shape in ((14, 13, 1), (14, 12, 3)):
        with pytest.raises(UserError, match=r"Faces are \(14, 1\d, \d\), the network takes \(14, 12, 1\)"):
            heatmaps(mute, pixels(1, shape), layer="features")
    with pytest.raises(UserError, match="No face is given"):
        heatmaps(network, [])


@pytest.mark.parametrize("shape", [(150, 150, 3), (48, 48, 1), (48, 48), (14, 12, 1)])
def test_one_face_is_one_face(network, shape):
    face = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for given in (network, ExpressionClassifier(network)):
        found = heatmaps(given, face)
        assert found.shape == (1, 14, 12)
        np.testing.assert_array_equal(found, heatmaps(given, [face]))


def test_faces_of_any_size_are_prepared_as_predict_prepares_them(network):
    faces = [pixels(1, (n, n, c), seed=n)[0] for n, c in ((30, 3), (20, 1), (30, 3))]
    classifier = ExpressionClassifier(network)
    found = GradCAM(network).explain(faces, ["left", 1, "happy"])
    assert found.classes.tolist() == [0, 1, 2]
    odds = np.exp(found.logits)
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), classifier.predict(faces), atol=1e-5)
    for i, face in enumerate(faces):
        np.testing.assert_allclose(found.heat[i], heatmaps(classifier, face, classes=i)[0], atol=1e-5)
    # Those that have the network's own shape are taken as prepared.
    fit = pixels(2)
    np.testing.assert_allclose(GradCAM(network).explain(fit).logits, network(fit), atol=1e-5)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(
    ("value", "message"),
    [(0.5, "got fractions up to 0.5. Multiply them by 255"), (np.nan, "NaN is no pixel"), (-1.0, "from -1.0"),
     (256.0, "from 256.0")],
)  # fmt: skip
def test_what_are_no_pixels_is_refused_with_the_remedy(network, method, value, message):
    for given in (np.full((2, 14, 12, 1), value), [np.full((48, 48, 3), value)], np.full((48, 48, 3), value)):
        for whose in (network, ExpressionClassifier(network), keras.Model(network.inputs, network.outputs)):
            with pytest.raises(UserError, match=message):
                heatmaps(whose, given, method, layer="features")


def test_maps_are_of_whatever_predict_reads(tmp_path):
    face = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    path, file = tmp_path / "f.png", io.BytesIO()
    Image.fromarray(face).save(path)
    Image.fromarray(face).save(file, "PNG")
    expected = fer_tf.heatmaps("default", face)
    one = (path, str(path), Image.fromarray(face), file.getvalue(), file, tf.constant(face), face.astype(float))
    for given in one:
        np.testing.assert_allclose(fer_tf.heatmaps("default", given), expected, atol=1e-5)
    np.testing.assert_allclose(fer_tf.heatmaps("default", (x for x in one)), np.repeat(expected, 7, 0), atol=1e-5)
    for given in (None, "", 7, b"", tmp_path / "none.png", [face, None]):
        with pytest.raises(UserError):
            fer_tf.heatmaps("default", given)


def test_networks_go_by_name_path_and_in_memory(tmp_path):
    face, network = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8), fer_tf.load_model()
    path = tmp_path / "mine.keras"
    models.save_model(network, path, network.metadata)
    expected = fer_tf.heatmaps("default", face)
    for given in (path, str(path), network, ExpressionClassifier(network)):
        np.testing.assert_allclose(fer_tf.heatmaps(given, face), expected, atol=1e-5)
    np.testing.assert_allclose(GradCAM("default")(face), expected, atol=1e-5)
    for given, message in (
        ("nothing", "No model 'nothing'"),
        (None, "NoneType is no net"),
        (face, "ndarray is no net"),
    ):
        with pytest.raises(UserError, match=message):
            fer_tf.heatmaps(given, face)


def test_an_unknown_method_lists_those_there_are(network):
    with pytest.raises(UserError, match=r"Unknown heat map method 'gradcam\+'. Available: eigencam, gradcam, gradcam"):
        heatmaps(network, pixels(1), "gradcam+")


def nested(flat, outer):
    """The flat network's layers with the backbone inside a network of its own, which is inside another one."""
    images = keras.Input((14, 12, 1))
    inner = keras.Model(images, backbone(images), name="inner")
    if outer == "sequential":
        made = keras.Sequential([keras.Input((14, 12, 1)), inner, layers.Flatten(), layers.Dense(3)])
    else:
        again = keras.Input((14, 12, 1))
        middle = keras.Model(again, layers.Activation("linear")(inner(again)), name="middle")
        last = keras.Input((14, 12, 1))
        made = keras.Model(last, {"logits": head(middle(last))})
    made.set_weights(flat.get_weights())
    return made


@pytest.mark.parametrize("outer", ["sequential", "functional"])
@pytest.mark.parametrize("method", ["gradcam", "scorecam"])
def test_a_layer_of_a_network_inside_the_network_is_found(network, outer, method):
    made, faces = nested(network, outer), pixels(3)
    before = [w.path for w in made.weights]
    np.testing.assert_allclose(heatmaps(made, faces, method, layer="features"), heatmaps(network, faces, method),
                               atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(heatmaps(made, faces, method, layer="early"),
                               heatmaps(network, faces, method, layer="early"), atol=1e-5)  # fmt: skip
    assert [w.path for w in made.weights] == before


def test_a_plain_sequential_network_works(network):
    made = keras.Sequential(
        [keras.Input((14, 12, 1)), *(type(x).from_config(x.get_config()) for x in network.layers[1:])]
    )
    made.set_weights(network.get_weights())
    np.testing.assert_allclose(heatmaps(made, pixels(3), layer="features"), heatmaps(network, pixels(3)), atol=1e-6)


def test_training_on_changes_the_maps_that_follow(network):
    made = keras.models.clone_model(network)
    explainer = GradCAM(made, layer="features")
    before = explainer.explain(pixels(2), 0).raw
    made.get_layer("logits").set_weights([2 * w for w in made.get_layer("logits").get_weights()])
    np.testing.assert_allclose(explainer.explain(pixels(2), 0).raw, 2 * before, rtol=1e-5)


def test_a_classifier_s_faces_are_prepared(network):
    classifier = ExpressionClassifier(network)
    faces = np.random.default_rng(1).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    prepared = classifier.prepare(faces).numpy()
    assert prepared.shape == (2, 14, 12, 1)
    np.testing.assert_array_equal(heatmaps(classifier, faces), heatmaps(network, prepared))


def test_a_new_network_is_explained_without_naming_a_layer():
    made = models.ResNet10(num_classes=3, input_shape=(24, 24, 1), width=0.05)
    assert GradCAM(made).layer == "stage3_block1"
    assert GradCAM(made)(pixels(2, (24, 24, 1))).shape == (2, 24, 24)


def test_the_shipped_network_is_explained_in_one_line():
    faces = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 1), dtype=np.uint8)
    classifier = ExpressionClassifier()
    heat = fer_tf.heatmaps(classifier, faces, classes="happy")
    assert heat.shape == (2, *classifier.input_shape[:2]) and heat.max() <= 1
