"""Implement ``fer-tf models``."""

import argparse
from collections.abc import Iterator, Sequence

import pandas as pd

from fer_tf import models
from fer_tf.models.complexity import measure_complexity
from fer_tf.progress import bar

DESCRIPTION = """List the networks with their inputs, parameters, multiply-accumulates (MACs) and sizes."""

EXAMPLES = """examples:
  fer-tf models                                  all, as published
  fer-tf models --small                          all, for 48×48 gray faces such as FER2013's
  fer-tf models --names vgg19 ghostface          two of them
  fer-tf models --names "ghostface(variant='public')" "efficientnet_b0(valence_arousal=True)"

MACs are those of convolutions and dense layers for one image; MB is the size of the float32 weights."""


def table(texts: Sequence[str] | None = None, small: bool = False) -> pd.DataFrame:
    """Build each model once and measure it.

    Args:
        texts: call strings; ``None`` means every name of ``MODELS``.
        small: the small configurations, with 7 classes and faces of ``SMALL_SHAPE``, instead of the published ones.

    Returns:
        A row for each model: model, input, classes, parameters, non_trainable, macs, mb, reference.

    Raises:
        UserError: an unknown model, or a value out of range.
    """
    texts = list(models.MODELS) if texts is None else list(texts)
    for text in texts:
        models.MODELS.resolve(text)
    with bar(len(texts), "models", "model") as ticks:
        return pd.DataFrame(list(_rows(texts, small, ticks)))


def _rows(texts: Sequence[str], small: bool, ticks) -> Iterator[dict]:
    import keras

    for text in texts:
        if small:
            text = models.small_configuration(text)
        network = models.get(text, *((7, models.SMALL_SHAPE) if small else ()))
        size = measure_complexity(network)
        yield {
            "model": text,
            "input": "×".join(str(n) for n in network.input_shape[1:]),
            "classes": models.logits_of(network.output).shape[-1],
            "parameters": size.parameters,
            "non_trainable": size.non_trainable,
            "macs": size.macs,
            "mb": size.megabytes,
            "reference": _reference(text),
        }
        del network
        keras.utils.clear_session()
        ticks.update()


def _reference(text: str) -> str:
    """Return the references in the docstring of a model's function, in one line."""
    doc = models.MODELS.resolve(text)[0].load().__doc__ or ""
    return " ".join(doc.partition("References:")[2].split())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--small", action="store_true", help="configurations for 48×48×1 faces and 7 classes")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="names or call strings of networks (default: all)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    rows = table(options.names, options.small)
    for column in ("parameters", "non_trainable"):
        rows[column] = rows[column].map("{:,}".format)
    rows["macs"] = (rows["macs"] / 1e6).map("{:,.1f} M".format)
    rows["mb"] = rows["mb"].map("{:.1f}".format)
    print(rows.to_string(index=False))
