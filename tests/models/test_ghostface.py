import re

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError


@pytest.fixture(autouse=True)
def clean():
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


@pytest.fixture(scope="module")
def thin():
    return models.get("ghostface(width=0.1)", num_classes=7)


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize(
    ("variant", "trainable", "statistics"),
    [
        ("public", 1_278_130, 7_486),
        pytest.param("fixed", 1_278_091, 7_486, marks=pytest.mark.slow),
        ("ghostnet", 193_275, 5_118),
    ],
)
def test_counts(variant, trainable, statistics):
    model = models.get(f"ghostface(variant={variant!r})", num_classes=7)
    assert (count(model.trainable_weights), count(model.non_trainable_weights)) == (trainable, statistics)


# Of the published checkpoint, block by block: trainable, statistics, output.
PUBLISHED = {
    "stem": (616, 16, (112, 112, 8)),
    "stage1_block1": (672, 32, (112, 112, 8)),
    "stage1_block2": (672, 32, (112, 112, 8)),
    "stage1_block3": (975, 38, (112, 112, 8)),
    "stage2_block1": (2_543, 70, (28, 28, 16)),
    "stage2_block2": (2_624, 64, (28, 28, 16)),
    "stage2_block3": (2_927, 70, (28, 28, 16)),
    "stage3_block1": (5_807, 198, (14, 14, 16)),
    "stage3_block4": (5_391, 198, (14, 14, 16)),
    "stage4_block1": (15_903, 390, (7, 7, 32)),
    "stage4_block3": (19_695, 390, (7, 7, 32)),
    "stage5_block1": (60_175, 774, (4, 4, 64)),
    "stage6_block1": (234_735, 1_542, (2, 2, 128)),
    "stage7_block1": (835_391, 2_886, (1, 1, 240)),
}


def test_blocks_of_the_public_variant():
    model = models.get("ghostface(variant='public')", num_classes=7)
    blocks = {}
    for layer in model.layers:
        if match := re.match(r"stem|stage\d(_block\d)?", layer.name):
            # A stage's last layer has the stage's name.
            name = match[0] if match[1] or match[0] == "stem" else [b for b in blocks if b.startswith(match[0])][-1]
            blocks.setdefault(name, []).append(layer)
    found = {
        name: (
            sum(count(x.trainable_weights) for x in block),
            sum(count(x.non_trainable_weights) for x in block),
            block[-1].output.shape[1:],
        )
        for name, block in blocks.items()
    }
    assert {name: found[name] for name in PUBLISHED} == PUBLISHED
    assert len(found) == 17
    assert model.get_layer("embedding").activation is keras.activations.linear
    assert model.get_layer("embedding").count_params() == 57_840


def test_fused_block_of_stride_2_has_no_shortcut_and_reduces_by_four(thin):
    adds = [x.name for x in thin.layers if isinstance(x, keras.layers.Add)]
    assert not any("stage2_block1" in name for name in adds)
    assert thin.get_layer("stage1").output.shape[1] == 4 * thin.get_layer("stage2").output.shape[1] == 112


def test_attention_is_in_every_ghost_block_and_in_three_fused_ones(thin):
    attention = [x.name.removesuffix("_attention") for x in thin.layers if x.name.endswith("_attention")]
    assert attention[:3] == ["stage1_block3", "stage2_block1", "stage2_block3"]
    assert len(attention) == 3 + 10


def test_public_takes_square_images_only():
    with pytest.raises(UserError, match=r"square maps"):
        models.get("ghostface(variant='public', width=0.1)", num_classes=7, input_shape=(224, 192, 3))
    assert models.get("ghostface(width=0.1, depth=1)", num_classes=7, input_shape=(224, 192, 3)).output_shape == (
        None,
        7,
    )


def test_pixels_are_scaled_to_one_around_zero(thin):
    scaled = keras.Model(thin.input, thin.get_layer("scale").output)
    x = np.stack([np.zeros((224, 224, 3)), np.full((224, 224, 3), 255.0)])
    np.testing.assert_allclose(np.asarray(scaled(x))[:, 0, 0, 0], [-1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("variant='mine'", r"Unknown variant 'mine'\. Available: fixed, ghostnet, public"),
        ("strides=(1, 2)", "strides must be 7"),
        ("strides=(1, 2, 2, 2, 2, 2, 3)", "1 or 2"),
        ("stem_stride=4", "stem_stride 1 or 2"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        models.get(f"ghostface({call})", num_classes=7)


def test_small_configuration_keeps_seven_stages_and_ends_above_one_pixel():
    model = models.get(models.small_configuration("ghostface"), 7, models.SMALL_SHAPE)
    sizes = [model.get_layer(f"stage{s}").output.shape[1] for s in range(1, 8)]
    assert sizes == [24, 6, 6, 6, 3, 3, 3]
