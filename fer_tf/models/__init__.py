"""Classifiers: pixels 0 to 255 in, logits out. ``build`` makes one from its call string.

Facts of a row: ``image_shape`` and ``num_classes`` (the published setting, and the default of ``image_shape``),
``parameters`` (trainable ones at that setting), ``gradcam_layer`` (the layer whose output a heat map reads),
``small`` (the call string that suits faces of ``SMALL_SHAPE``, the size of FER2013) and ``reference``.

A network gives logits (N, C), or, where it predicts more than classes, a dict of which ``"logits"`` is one;
``logits_of`` reads both. A trained network's file has ``Facts`` beside it: its classes and the faces it expects.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import layers
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.models.facts import Facts, facts_of, read_facts, write_facts
from fer_tf.models.trunk import begin_from, freeze_trunk, load_trunk, unfreeze
from fer_tf.registry import Registry

if TYPE_CHECKING:
    import keras

__all__ = [
    "MODELS", "SMALL_SHAPE", "Facts", "begin_from", "build", "facts_of", "freeze_trunk", "load", "load_trunk",
    "logits_of", "save", "unfreeze",
]  # fmt: skip

SMALL_SHAPE = (48, 48, 1)

MODELS = Registry("model")
MODELS.add(
    "vgg", "fer_tf.models.vgg:vgg",
    image_shape=(40, 40, 1), num_classes=7, parameters=29_890_759, gradcam_layer="features",
    small="vgg", reference="arXiv 2105.03588",
)  # fmt: skip
MODELS.add(
    "vgg13", "fer_tf.models.vgg13:vgg13",
    image_shape=(64, 64, 1), num_classes=8, parameters=8_757_704, gradcam_layer="features",
    small="vgg13", reference="arXiv 1608.01041",
)  # fmt: skip
MODELS.add(
    "vgg16", "fer_tf.models.vgg:vgg",
    keywords={"filters": (64, 128, 256, 512, 512), "depth": (2, 2, 3, 3, 3), "head": "gap", "dropout": 0.5},
    image_shape=(44, 44, 3), num_classes=7, parameters=14_726_727, gradcam_layer="features",
    small="vgg16", reference="arXiv 1409.1556, configuration D, with batch-norm",
)  # fmt: skip
MODELS.add(
    "vgg19", "fer_tf.models.vgg:vgg",
    keywords={"filters": (64, 128, 256, 512, 512), "depth": (2, 2, 4, 4, 4), "head": "gap", "dropout": 0.5},
    image_shape=(44, 44, 3), num_classes=7, parameters=20_038_983, gradcam_layer="features",
    small="vgg19", reference="arXiv 1409.1556, configuration E, with batch-norm",
)  # fmt: skip
MODELS.add(
    "resnet18", "fer_tf.models.resnet:resnet",
    image_shape=(44, 44, 3), num_classes=7, parameters=11_172_423, gradcam_layer="features",
    small="resnet18", reference="arXiv 1512.03385, 3×3 stem",
)  # fmt: skip
MODELS.add(
    "resnet10", "fer_tf.models.resnet:resnet",
    keywords={"depth": 1, "stem": "strided", "dropout": 0.3},
    image_shape=(48, 48, 1), num_classes=7, parameters=4_901_575, gradcam_layer="stage3_block1",
    small="resnet10", reference="arXiv 1512.03385, one block a stage, 5×5 stem of stride 2",
)  # fmt: skip
MODELS.add(
    "scn", "fer_tf.models.scn:scn",
    image_shape=(224, 224, 3), num_classes=7, parameters=11_180_616, gradcam_layer="features",
    small="scn(depth=1, stem='strided')", reference="arXiv 2002.10392",
)  # fmt: skip
MODELS.add(
    "landmark_scn", "fer_tf.models.landmark_scn:landmark_scn",
    image_shape=(48, 48, 3), num_classes=7, parameters=11_242_704, gradcam_layer="features",
    small="landmark_scn(depth=1, stem='strided')",
    reference="github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition",
)  # fmt: skip
MODELS.add(
    "dan", "fer_tf.models.dan:dan",
    image_shape=(224, 224, 3), num_classes=7, parameters=19_723_733, gradcam_layer="features",
    small="dan(width=0.5, depth=1, stem='strided')", reference="arXiv 2109.07270",
)  # fmt: skip
MODELS.add(
    "ran", "fer_tf.models.ran:ran",
    image_shape=(224, 224, 3), num_classes=8, parameters=11_186_250, gradcam_layer="features",
    small="ran(width=0.5, depth=1, stem='strided', region_size=32)", reference="arXiv 1905.04075",
)  # fmt: skip
MODELS.add(
    "resnet18_imagenet", "fer_tf.models.resnet:resnet",
    keywords={"stem": "imagenet"},
    image_shape=(224, 224, 3), num_classes=7, parameters=11_180_103, gradcam_layer="features",
    small="resnet18_imagenet(stem='strided')", reference="arXiv 1512.03385, 7×7 stem",
)  # fmt: skip
MODELS.add(
    "ghostface", "fer_tf.models.ghostface:ghostface",
    image_shape=(224, 224, 3), num_classes=7, parameters=1_278_091, gradcam_layer="stage4",
    small="ghostface(strides=(1, 2, 1, 1, 2, 1, 1))",
    reference="JiaHui-TANG/Robust-Lightweight-Facial-Expression-Recognition-Model, repaired",
)  # fmt: skip
MODELS.add(
    "ghostnet", "fer_tf.models.ghostnet:ghostnet",
    image_shape=(224, 224, 3), num_classes=1000, parameters=5_182_508, gradcam_layer="features",
    small="ghostnet(stem_stride=1)", reference="arXiv 1911.11907",
)  # fmt: skip
MODELS.add(
    "efficientnet_b0", "fer_tf.models.efficientnet:efficientnet",
    image_shape=(224, 224, 3), num_classes=8, parameters=4_017_796, gradcam_layer="features",
    small="efficientnet_b0(stem_stride=1)", reference="arXiv 1905.11946, arXiv 2103.17107",
)  # fmt: skip
MODELS.add(
    "efficientnet_b2", "fer_tf.models.efficientnet:efficientnet",
    keywords={"variant": "b2", "dropout": 0.3},
    image_shape=(260, 260, 3), num_classes=8, parameters=7_712_266, gradcam_layer="features",
    small="efficientnet_b2(stem_stride=1)", reference="arXiv 1905.11946, arXiv 2103.17107",
)  # fmt: skip

MODELS.add(
    "fusion", "fer_tf.models.fusion:fusion",
    image_shape=(44, 44, 3), num_classes=7, parameters=31_211_511, gradcam_layer="first_features",
    small="fusion", reference="WuJie1010/Facial-Expression-Recognition.Pytorch for the members",
)  # fmt: skip


def build(
    text: str,
    num_classes: int,
    image_shape: tuple[int, int, int] | None = None,
    dropout: float | None = None,
    kernel_regularizer: Any = None,
    name: str | None = None,
) -> "keras.Model":
    """Build a model from its call string, such as ``"vgg(width=0.25, head='gap')"``.

    Args:
        text: a name of ``MODELS``, with keywords of its builder.
        num_classes: C, how many logits.
        image_shape: (H, W, channels) of the input; ``None`` means the published one.
        dropout: rate in [0, 1); ``None`` means the published one.
        kernel_regularizer: penalty on every kernel: a Keras regulariser, its name or config, or a call string such
            as ``"l2(l2=0.0001)"``.
        name: the model's name; ``None`` means its name in ``MODELS``.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C), or to a dict of which
        ``"logits"`` is one.

    Raises:
        UserError: an unknown name or keyword, one set twice, or a value out of range.
    """
    given = {
        "image_shape": image_shape, "dropout": dropout, "kernel_regularizer": kernel_regularizer, "name": name,
    }  # fmt: skip
    common = {key: value for key, value in given.items() if value is not None}
    row, keywords = MODELS.resolve(text)
    for key, value in {"image_shape": row.facts["image_shape"], "name": row.name}.items():
        if key not in keywords:
            common.setdefault(key, value)
    return MODELS.make(text, num_classes=num_classes, **common)


def logits_of(outputs: Any) -> Any:
    """Return the logits of a network's output: the output itself, or its entry ``logits`` when it is a dict."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def save(network: "keras.Model", path: Path | str, facts: Facts) -> None:
    """Write a network with its facts as a ``.keras`` file, whole or not at all."""
    with atomic.atomic_write(Path(path)) as part:
        network.save(part)
        write_facts(part, facts)


def load(path: Path | str) -> "keras.Model":
    """Read a ``.keras`` file, with the layers of this package known to Keras; the model is not compiled.

    Returns:
        The network. Its attribute ``facts`` has what the file says beside the weights (``None``: nothing), see
        ``facts_of``.

    Raises:
        UserError: there is no such file, or it is no ``.keras`` file.
    """
    import keras

    layers.register()
    if not Path(path).is_file():
        raise UserError(f"No model file at {Path(path).absolute()}.")
    facts = read_facts(path)
    network = keras.saving.load_model(path, compile=False)
    network.facts = facts
    return network
