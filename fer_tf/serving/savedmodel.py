"""Write a trained network as a SavedModel that TensorFlow Serving loads, checked before the server can see it."""

import tempfile
from pathlib import Path

import tensorflow as tf

from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import atomic
from fer_tf.progress import bar
from fer_tf.serving import check, configs, stubs, versions, warmup
from fer_tf.serving.signatures import Signatures

LABELS = "labels.txt"


def export(
    model: "ExpressionClassifier | str | Path" = "default",
    folder: Path | str = "saved_models/faces",
    version: int | None = None,
    **options,
) -> Path:
    """Write a network as ``folder/<version>/`` with the signatures of ``Signatures``.

    The new version is run in a version-1 session, as the server runs it, and compared with Keras before it is moved
    into place. Where the extra ``serving`` is installed, it has warm-up requests. Beside ``folder`` the server's
    ``models.config`` and ``batching.config`` are brought up to date.

    Args:
        model: a classifier, a shipped name, or the path of a ``.keras`` file.
        folder: of the model; its name is what clients ask for.
        version: number of the version; ``None`` for the next.
        **options: ``detector``, ``max_faces`` and ``max_pixels``, as ``Signatures`` takes them.

    Returns:
        The folder of the version.

    Raises:
        UserError: no such model, a value out of range, or a version that is there already.
        RuntimeError: the written version does not give what Keras gives; nothing is left behind.
    """
    folder = Path(folder)
    with versions.new_version(folder, version) as (part, final), bar(3, "export", "step") as progress:
        classifier = model if isinstance(model, ExpressionClassifier) else ExpressionClassifier(model)
        signatures, samples = Signatures(classifier, **options), check.samples(classifier)
        progress.update()
        write(signatures, part)
        if stubs.installed():
            warmup.write(part, folder.absolute().name, samples)
        progress.update()
        check.check(part, signatures, samples)
        progress.update()
    configs.write(folder.absolute().parent)
    return final


def write(signatures: Signatures, folder: Path) -> None:
    """Write the SavedModel itself: signatures, weights once, ``assets/labels.txt``."""
    with tempfile.TemporaryDirectory() as temporary:
        labels = Path(temporary) / LABELS
        atomic.write_text(labels, "".join(f"{name}\n" for name in signatures.classes))
        # Nothing of Keras may hang on the module: its variables would be stored a second time.
        module = tf.Module(name="served")
        module.weights = signatures.variables()
        module.labels = tf.saved_model.Asset(str(labels))
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures=dict(signatures.functions()), options=options)
