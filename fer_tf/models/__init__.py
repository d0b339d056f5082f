"""Networks: functions of the published ones, from pixels in 0 to 255 to logits.

A network gives logits (N, C) or, where it predicts more than classes, a dict whose entry ``"logits"`` holds them;
``logits_of`` reads both. To add a model, write its function in a file of this folder and add one line to ``MODELS``.

Example:
    >>> import fer_tf
    >>> network = fer_tf.models.VGG16(num_classes=7, input_shape=(48, 48, 1), width=0.05)
    >>> network.compile("adam", fer_tf.losses.CrossEntropy())
"""

from typing import TYPE_CHECKING, Any

from fer_tf import registry
from fer_tf.errors import UserError
from fer_tf.registry import Registry

if TYPE_CHECKING:
    import keras

MODELS = Registry("model")
MODELS.add("vgg", "fer_tf.models.vgg:VGG")
MODELS.add("vgg13", "fer_tf.models.vgg:VGG13")
MODELS.add("vgg16", "fer_tf.models.vgg:VGG16")
MODELS.add("vgg19", "fer_tf.models.vgg:VGG19")
MODELS.add("resnet10", "fer_tf.models.resnet:ResNet10")
MODELS.add("resnet18", "fer_tf.models.resnet:ResNet18")
MODELS.add("resnet18_imagenet", "fer_tf.models.resnet:ResNet18ImageNet")
MODELS.add("scn", "fer_tf.models.attention_networks:SCN")
MODELS.add("landmark_scn", "fer_tf.models.attention_networks:LandmarkSCN")
MODELS.add("dan", "fer_tf.models.attention_networks:DAN")
MODELS.add("ran", "fer_tf.models.attention_networks:RAN")
MODELS.add("ghostface", "fer_tf.models.ghostnet:GhostFace")
MODELS.add("ghostnet", "fer_tf.models.ghostnet:GhostNet")
MODELS.add("efficientnet_b0", "fer_tf.models.efficientnet:EfficientNetB0")
MODELS.add("efficientnet_b2", "fer_tf.models.efficientnet:EfficientNetB2")
MODELS.add("fusion", "fer_tf.models.composites:Fusion")

# Shape of a gray face of FER2013, for which each model has a small configuration.
SMALL_SHAPE = (48, 48, 1)

__getattr__, __dir__, __all__ = registry.attach(
    __name__,
    *MODELS.targets,
    "fer_tf.models.composites:antialias",
    "fer_tf.models.building:freeze_backbone",
    "fer_tf.models.building:initialize_from",
    "fer_tf.models.building:load_backbone",
    "fer_tf.models.building:unfreeze",
    "fer_tf.models.complexity:Complexity",
    "fer_tf.models.complexity:count_macs",
    "fer_tf.models.complexity:measure_complexity",
    "fer_tf.models.saving:ModelMetadata",
    "fer_tf.models.saving:check_file",
    "fer_tf.models.saving:load_model",
    "fer_tf.models.saving:metadata_of",
    "fer_tf.models.saving:read_metadata",
    "fer_tf.models.saving:save_model",
    "fer_tf.models.saving:set_metadata",
    "fer_tf.models.saving:shipped_names",
    "fer_tf.models.saving:weights_path",
    "fer_tf.models.composites:average_crops",
    "fer_tf.models.composites:crop_grid",
    own=("MODELS", "SMALL_SHAPE", "get", "logits_of", "small_configuration"),
)


def get(
    identifier: "str | keras.Model",
    num_classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    **keywords: Any,
) -> "keras.Model":
    """Build a model from a call string, or return a model as it is.

    Args:
        identifier: a name of ``MODELS`` with keywords of its function, such as ``"vgg(width=0.25, head='gap')"``; or
            a Keras model.
        num_classes: number of classes C; ``None`` means the default of the function.
        input_shape: (H, W, channels) of the faces in pixels; ``None`` means the default of the function.
        **keywords: more arguments of the function, such as ``dropout`` or ``kernel_regularizer``; those that are
            ``None`` are left out.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32, or to a dict with ``"logits"``.

    Raises:
        UserError: an unknown name or keyword, one given twice, or a value out of range.

    Example:
        >>> import fer_tf
        >>> fer_tf.models.get("vgg16(width=0.05)", num_classes=8, input_shape=(48, 48, 1)).output_shape
        (None, 8)
    """
    given = {"num_classes": num_classes, "input_shape": input_shape, **keywords}
    given = {key: value for key, value in given.items() if value is not None}
    if isinstance(identifier, str):
        return MODELS.make(identifier, **given)
    if not hasattr(identifier, "layers"):
        raise UserError(f"Expected a call string such as 'resnet10(width=0.5)' or a Keras model, got {identifier!r}.")
    return identifier


def logits_of(outputs: Any) -> Any:
    """Return the logits of a network's output: the output itself, or a dict's entry ``"logits"``.

    Example:
        >>> logits_of({"logits": [1.0, 2.0], "valence_arousal": [0.1, 0.2]})
        [1.0, 2.0]
    """
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def small_configuration(text: str) -> str:
    """Add to a call string the arguments that suit faces of ``SMALL_SHAPE``, where it does not set them.

    Example:
        >>> small_configuration("ghostnet(width=0.5)")
        'ghostnet(stem_stride=1, width=0.5)'
    """
    name, keywords = registry.parse(text)
    return registry.render(name, {**MODELS[name].load().small, **keywords})
