"""What every export must pass before a server sees it: each signature, run as the server runs it, equals Keras."""

import io
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from fer_tf import datasets
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.models import logits_of
from fer_tf.serving.session import Outputs, served
from fer_tf.serving.signatures import ENCODED_FACES, FACES, PHOTOGRAPHS, Signatures

TOLERANCE = 1e-5
# Pixels on a photograph are sums of large numbers, in another order in another run.
PIXEL_TOLERANCE = 0.01
IN_PIXELS = ("boxes", "landmarks")
# Gray as the detector's mean, so that the drawn face stands out.
BACKGROUND = (127, 117, 104)

Samples = Mapping[str, Mapping[str, np.ndarray]]


def samples(classifier: ExpressionClassifier, count: int = 3) -> dict[str, dict[str, np.ndarray]]:
    """Make inputs for each signature from drawn faces.

    Args:
        classifier: whose size the faces have.
        count: N, how many.

    Returns:
        Signature → name of the input → its value.
    """
    drawn = datasets.get(f"synthetic(faces={max(60, count)})").images[:count]
    gray = [Image.fromarray(face[..., 0]) for face in drawn]
    side = classifier.metadata.face_size
    faces = np.stack([np.asarray(face.resize((side, side)).convert("RGB")) for face in gray])
    return {
        ENCODED_FACES: {"image_bytes": _encoded(Image.fromarray(face) for face in faces)},
        FACES: {"faces": faces},
        PHOTOGRAPHS: {"image_bytes": _encoded(map(_photograph, gray))},
    }


def check(folder: Path, signatures: Signatures, given: Samples) -> None:
    """Compare a written version, run in a version-1 session, with Keras.

    Args:
        folder: of the version.
        signatures: what was written.
        given: inputs as ``samples`` makes them; the pictures are PNG, which all decoders read alike.

    Raises:
        RuntimeError: an output differs.
    """
    wanted = expected(signatures, given)
    with served(folder) as run:
        for name, inputs in given.items():
            compare(name, run(name, inputs), wanted[name])


def expected(signatures: Signatures, given: Samples) -> dict[str, Outputs]:
    """Compute by Keras, Pillow and NumPy, outside the signatures' graphs, what they must give."""
    results = {}
    for name, inputs in given.items():
        (values,) = inputs.values()
        pictures = values if name == FACES else [np.asarray(Image.open(io.BytesIO(v)).convert("RGB")) for v in values]
        of = _of_photographs if name == PHOTOGRAPHS else _of_faces
        results[name] = of(signatures, pictures)
    return results


def _of_faces(signatures: Signatures, faces: np.ndarray | list[np.ndarray]) -> Outputs:
    found = np.concatenate([_probabilities(signatures.classifier, face[None]) for face in faces])
    number = found.argmax(axis=1)
    classes = np.array([name.encode() for name in signatures.classes], object)
    return {
        "probabilities": found,
        "label_id": number.astype(np.int32),
        "label": classes[number],
        "classes": np.stack([classes] * len(found)),
        "valid": np.ones(len(found), bool),
    }


def _of_photographs(signatures: Signatures, photographs: list[np.ndarray]) -> Outputs:
    rows = []
    for photograph in photographs:
        found = {key: np.array(value) for key, value in signatures.extractor(photograph).items()}
        count = int(found["count"])
        faces = _of_faces(signatures, found["faces"][:count]) if count else {}
        probabilities = np.zeros((len(found["faces"]), len(signatures.classes)), np.float32)
        labels = np.full(len(found["faces"]), b"", object)
        if count:
            probabilities[:count], labels[:count] = faces["probabilities"], faces["label"]
        kept = {key: found[key] for key in ("count", "scores", "boxes", "landmarks")}
        size = np.array(photograph.shape[:2], np.int32)
        rows.append({**kept, "probabilities": probabilities, "labels": labels, "size": size, "valid": np.array(True)})
    classes = np.array([[name.encode() for name in signatures.classes]] * len(rows), object)
    return {**{key: np.stack([row[key] for row in rows]) for key in rows[0]}, "classes": classes}


def _probabilities(classifier: ExpressionClassifier, faces: np.ndarray) -> np.ndarray:
    """Return the softmax of what the Keras model itself gives, in double precision."""
    prepared = classifier.prepare(faces)
    views = [prepared, prepared[:, :, ::-1]] if classifier.flip else [prepared]
    found = [keras.ops.convert_to_numpy(logits_of(classifier.network(v, training=False))) for v in views]
    logits = np.mean(found, axis=0, dtype=np.float64) / classifier.metadata.temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def compare(name: str, found: Outputs, wanted: Outputs) -> None:
    """Raise a ``RuntimeError`` unless a signature's outputs are those wanted: numbers within ``TOLERANCE``, names
    and counts exactly."""
    if set(found) != set(wanted):
        raise RuntimeError(f"Signature {name} gives {sorted(found)} instead of {sorted(wanted)}.")
    for key, value in wanted.items():
        if found[key].shape != value.shape:
            raise RuntimeError(f"Signature {name}: {key} has shape {found[key].shape} instead of {value.shape}.")
        if value.dtype.kind == "f":
            tolerance = PIXEL_TOLERANCE if key in IN_PIXELS else TOLERANCE
            difference = float(np.abs(found[key] - value).max(initial=0.0))
            # A comparison that is false for what is no number.
            good = difference <= tolerance
        else:
            difference, good = int((found[key] != value).sum()), np.array_equal(found[key], value)
        if not good:
            raise RuntimeError(f"Signature {name}: {key} is not what Keras gives (difference {difference}).")


def _photograph(face: Image.Image) -> Image.Image:
    """Put a drawn face on an empty ground, large enough to be found."""
    photograph = Image.new("RGB", (320, 320), BACKGROUND)
    photograph.paste(face.resize((200, 200), Image.Resampling.BICUBIC).convert("RGB"), (60, 60))
    return photograph


def _encoded(pictures) -> np.ndarray:
    files = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append(file.getvalue())
    return np.array(files, object)
