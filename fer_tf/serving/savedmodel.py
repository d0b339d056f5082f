"""Export a network as a SavedModel; manage versions and configuration files."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import atomic
from fer_tf.progress import bar
from fer_tf.serving import devices
from fer_tf.serving.client import has_serving_apis, serving_apis
from fer_tf.serving.devices import Samples
from fer_tf.serving.signatures import Signatures

_HIGHEST = 2**63 - 1
# A server takes subfolders whose names are numbers for versions, and ignores all others.
_PART = ".part-"

# The files of the folder: the models, how requests are batched, how to start the server.
FILES = "models.config", "batching.config", "SERVING.md"
# Folder of the models in the Docker image of the server, which accepts no relative paths.
_INSIDE = "/models"

# No version labels on purpose: the server does not start with a label of a version that is not loaded yet.
_MODEL_TEXT = """  config {{
    name: "{name}"
    base_path: "{inside}/{name}"
    model_platform: "tensorflow"
  }}
"""
_LIST_START, _LIST_END = "model_config_list {\n", "}\n"

_BATCHING_TEXT = """# Requests within a millisecond are computed together. num_batch_threads: cores of the server.
# max_batch_size is also the most rows of one request; the graph computes 32 at a time, whatever it is.
# No allowed_batch_sizes: batches would be filled up with copies of a photograph, each of which is analyzed.
max_batch_size { value: 256 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
"""

_GUIDE_TEXT = """# Serving

In this folder, with Docker:

```sh
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD:/models:ro" tensorflow/serving \\
    --model_config_file=/models/models.config --enable_batching --batching_parameters_file=/models/batching.config
```

Without Docker, for one model: `tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=NAME
--model_base_path="$PWD/NAME"`. The server loads a new version by itself.

```sh
fer-tf client localhost photograph.jpg --model NAME          # REST, port 8501
fer-tf client localhost photograph.jpg --model NAME --grpc   # gRPC, port 8500
curl localhost:8501/v1/models/NAME:predict \\
    -d '{"signature_name": "analyze", "instances": [{"image_bytes": {"b64": "'"$(base64 -w0 photograph.jpg)"'"}}]}'
```

| signature | input | outputs, one row for each input |
| --- | --- | --- |
| `serving_default` | `image_bytes`: image files, one face in each | `probabilities`, `label`, `label_id` |
| `predict_faces` | `faces`: uint8 (N, h, w, 1 or 3) | the same |
| `analyze` | `image_bytes`: photograph files | `count`, `labels` and more, see below |

All have `classes` and `valid`. `analyze` also has `boxes`, `scores`, `landmarks` and `probabilities` of each face,
zeros after the first `count` faces, and `size`, height and width of the photograph in pixels.

`classes` are the names of the columns of `probabilities`, as in `NAME/<version>/assets/labels.txt`. Faces must be
cropped as in FER2013. Boxes and landmarks are in pixels of the upright photograph: the server applies the EXIF
orientation of JPEG files, not that of PNG files.

Image files must be JPEG or PNG. For other formats, damaged files, images with more pixels than the export allows
(`--max-pixels`) and files that were made to take long (more than 100 scans of a JPEG, or than 16 packed texts of a
PNG), `valid` is false and the other outputs are zeros; the other rows of the request are not affected. Convert GIF, BMP
and WebP files first. `analyze` gives what `fer_tf.analyze` gives for the decoded photograph, but looks at it once:
faces that are turned by a quarter or upside down are not looked for again, and `size="auto"` means 640.

## Limits

- At least one row: with batching, a server never answers an empty request, and the next one may get an error.
  `fer-tf client` sends none; a proxy in front of a public server should refuse them.
- At most 256 rows, `max_batch_size` in batching.config. "Task size 300 is larger than maximum input batch size 256"
  means that a request has more: split it.
- The faces of `predict_faces` have one size, and one or three channels for all. With batching this holds for requests
  that arrive together, too: "Tensors with name … from different tasks have different shapes" means that another client
  sends other sizes, or gray faces where this one sends color. Send image files to `serving_default` instead, which may
  differ, or agree on a size. Do not set `pad_variable_length_inputs`, which puts black borders around faces.
- Memory: up to 16 bytes per pixel of an image, for at most four images of a batch at a time, in each of
  `num_batch_threads`; the networks take 32 faces at a time. Requests that wait are kept whole: lower
  `max_enqueued_batches` where little memory is left; "The batch scheduling queue … is full" is its refusal.

Version labels (`version_labels` in models.config) may only name versions that are loaded; add them while the server
runs.
"""


def write_configs(parent: Path) -> list[Path]:
    """Add new models to ``models.config``, and write the other files if they are missing.

    Existing text is kept: it may have been changed by hand.

    Args:
        parent: folder of the models' folders.

    Returns:
        The three files.
    """
    models, batching, guide = (parent / name for name in FILES)
    text = models.read_text(encoding="utf-8") if models.is_file() else _LIST_START + _LIST_END
    updated = _with_models(text, [p.name for p in sorted(parent.iterdir()) if versions_in(p)])
    if not models.is_file() or updated != text:
        atomic.write_text(models, updated)
    for path, content in ((batching, _BATCHING_TEXT), (guide, _GUIDE_TEXT)):
        if not path.exists():
            atomic.write_text(path, content)
    return [models, batching, guide]


def _with_models(text: str, names: list[str]) -> str:
    """Add to a ``models.config`` the models that it does not name."""
    named = set(re.findall(r'^\s*name:\s*"([^"]*)"', text, re.MULTILINE))
    blocks = "".join(_MODEL_TEXT.format(name=name, inside=_INSIDE) for name in names if name not in named)
    before, brace, after = text.rpartition("}")
    return before + blocks + brace + after


def versions_in(folder: Path) -> list[int]:
    """Return the numbers of the versions of a model, ascending; an empty list if the folder does not exist."""
    return sorted(int(p.name) for p in folder.iterdir() if _is_version(p)) if folder.is_dir() else []


def _is_version(path: Path) -> bool:
    """Return whether a server takes a folder for a version."""
    return path.is_dir() and path.name.isascii() and path.name.isdigit()


@contextlib.contextmanager
def new_version(folder: Path, version: int | None = None) -> Iterator[tuple[Path, Path]]:
    """Write a new version, which appears complete or not at all.

    Args:
        folder: of the model; it is created if it does not exist.
        version: its number; ``None`` for the one after the highest.

    Yields:
        A temporary folder to write into, and the folder that it becomes when the block ends without an error.

    Raises:
        UserError: the version exists, the number is out of range, the folder cannot be the name of a model, or another
            process exports here.
    """
    _check(folder, version)
    with atomic.folder_lock(folder):
        _remove_leftovers(folder)
        present = versions_in(folder)
        number = version if version is not None else max(present, default=0) + 1
        if number in present:
            raise UserError(f"{folder} has a version {number}. Give another --version, or none for the next.")
        part, final = folder / f"{_PART}{os.getpid()}-v{number}", folder / str(number)
        try:
            part.mkdir()
            yield part, final
            _to_disk(part)
            part.rename(final)
            _sync(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _check(folder: Path, version: int | None) -> None:
    name = folder.absolute().name
    if not name or name.isdigit() or name.startswith("."):
        raise UserError(f"{folder} cannot be the name of a model. Expected a folder such as saved_models/faces.")
    if version is not None and not 1 <= version <= _HIGHEST:
        raise UserError(f"--version {version} is out of range. Expected 1 to {_HIGHEST}.")


def _remove_leftovers(folder: Path) -> None:
    """Delete what killed exports left; the lock shows that none is running."""
    for part in folder.glob(f"{_PART}*"):
        shutil.rmtree(part, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


_LABELS = "labels.txt"
_WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def export(
    model: "ExpressionClassifier | str | Path" = "default",
    folder: Path | str = "saved_models/faces",
    version: int | None = None,
    **options,
) -> Path:
    """Write a network as ``folder/<version>/`` with the signatures of ``Signatures``.

    The new version is run in a session of TensorFlow 1, as the server runs it, and compared with Keras before it is
    moved into place. If the extra ``serving`` is installed, it has warm-up requests. ``models.config``,
    ``batching.config`` and ``SERVING.md`` are written beside ``folder``.

    Args:
        model: a classifier, a shipped name, or the path of a ``.keras`` file.
        folder: of the model; clients ask for its name.
        version: number of the version; ``None`` for the next.
        **options: ``detector``, ``max_faces`` and ``max_pixels`` of ``Signatures``.

    Returns:
        The folder of the version.

    Raises:
        UserError: no such model, a value out of range, or the version exists.
        RuntimeError: the written version does not compute what Keras computes; it is deleted.
    """
    folder = Path(folder)
    with new_version(folder, version) as (part, final), bar(3, "export", "step") as progress:
        classifier = model if isinstance(model, ExpressionClassifier) else ExpressionClassifier(model)
        signatures, samples = Signatures(classifier, **options), devices.make_samples(classifier)
        progress.update()
        write(signatures, part)
        if has_serving_apis():
            write_warmup(part, folder.absolute().name, samples)
        progress.update()
        devices.check_export(part, signatures, samples)
        progress.update()
    write_configs(folder.absolute().parent)
    return final


def write(signatures: Signatures, folder: Path) -> None:
    """Write the SavedModel itself: signatures, weights and ``assets/labels.txt``."""
    with tempfile.TemporaryDirectory() as temporary:
        labels = Path(temporary) / _LABELS
        atomic.write_text(labels, "".join(f"{name}\n" for name in signatures.classes))
        # The module must not refer to Keras objects: their variables would be stored a second time.
        module = tf.Module(name="served")
        module.weights = signatures.variables()
        module.labels = tf.saved_model.Asset(str(labels))
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures=dict(signatures.functions()), options=options)


def write_warmup(folder: Path, name: str, given: Samples) -> Path:
    """Write requests that TensorFlow Serving runs before a new version responds to clients.

    Each signature is run with one row and with all rows. A server does not load a version whose warm-up fails.

    Args:
        folder: of the version.
        name: of the model.
        given: inputs from ``check.make_samples``.

    Returns:
        The file.

    Raises:
        UserError: the extra ``serving`` is not installed.
    """
    path = folder / _WARMUP
    path.parent.mkdir(exist_ok=True)
    logs = serving_apis("prediction_log_pb2")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in given.items():
            for rows in sorted({1, len(next(iter(inputs.values())))}):
                request = _request(name, signature, {key: value[:rows] for key, value in inputs.items()})
                record = logs.PredictionLog(predict_log=logs.PredictLog(request=request))
                writer.write(record.SerializeToString())
    return path


def read_warmup(folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the signature and the inputs of each warm-up request of a version."""
    logs = serving_apis("prediction_log_pb2")
    for record in tf.data.TFRecordDataset(str(folder / _WARMUP)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        yield request.model_spec.signature_name, {k: tf.make_ndarray(v) for k, v in request.inputs.items()}


def _request(name: str, signature: str, inputs: dict[str, np.ndarray]):
    request = serving_apis("predict_pb2").PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request
