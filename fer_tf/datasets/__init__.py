"""Load facial expression datasets by function or by call string."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import augment as augmentation
from fer_tf.errors import DataError, UserError, given_path
from fer_tf.facetable import FaceTable
from fer_tf.registry import Registry, attach

if TYPE_CHECKING:
    import tensorflow as tf

# Faces that shuffling holds in memory at once, beside the table itself.
_SHUFFLED = 10_000
# ``data`` says which files a dataset reads; it is empty for built-in datasets.
DATASETS = Registry("dataset")
for _name, _module, _data in (
    ("synthetic", "synthetic", ""),
    ("synthetic_ferplus", "synthetic", ""),
    ("fer2013", "fer2013", "the folder with fer2013.csv, icml_face_data.csv or train/<class>"),
    ("ferplus", "ferplus", "the folder with fer2013new.csv beside fer2013.csv, or with FER2013Train/label.csv"),
    ("rafdb", "rafdb", "the folder with EmoLabel/list_patition_label.txt and Image/aligned, or with DATASET/train/1"),
    ("affectnet", "affectnet", "the folder with training.csv, validation.csv and Manually_Annotated_Images, or with "
     "train_set and val_set"),
    ("ckplus", "ckplus", "the folder with cohn-kanade-images, Emotion and Landmarks, or with CK+48/<class>, or with "
     "ckextended.csv"),
    ("sfew", "sfew", "the folder with Train/<class> and Val/<class>, or with Train_Aligned_Faces, Val_Aligned_Faces"),
    ("lfwfer", "lfwfer", "the folder with LFW-FER, M-LFW-FER or M-LFW-FER-face-cut, each of train/<class> and "
     "eval/<class>"),
    ("folder", "folder", "a folder of <class>/*.png or <split>/<class>/*.png"),
    ("records", "shards", "the folder of TFRecord shards that fer-tf crop --format tfrecord wrote"),
    ("shards", "shards", "the folder of shards that fer-tf shards prepare wrote"),
    ("csv", "csvfile", "a CSV with the columns path,label, or path and a distribution"),
):  # fmt: skip
    DATASETS.add(_name, f"fer_tf.datasets.{_module}:load_{_name}", data=_data)

__getattr__, __dir__, __all__ = attach(
    __name__,
    *(DATASETS[name].target for name in DATASETS),
    "fer_tf.datasets.splits:flip_labels",
    "fer_tf.datasets.landmarks:with_landmarks",
    own=("as_tf_dataset", "get"),
)

# How a run masks its faces. The class belongs to a higher room, and is imported when it is made.
COVERS = Registry("cover")
COVERS.add("cover", "fer_tf.faces.masks.mask_datasets:MaskSettings")


def get(identifier: str | FaceTable, data: Path | str | None = None, skip_bad: bool = False) -> FaceTable:
    """Load the dataset that a call string names.

    Args:
        identifier: Name and options, such as ``"ferplus(mode='probability')"``. A ``FaceTable`` is returned unchanged.
        data: File or folder of the dataset; ``None`` for built-in datasets.
        skip_bad: Leave out bad rows and list them in ``FaceTable.skipped``, instead of stopping at the first one.

    Returns:
        The faces of all splits.

    Raises:
        UserError: The dataset or an option is unknown, or ``data`` is missing or not needed.
        DataError: The files cannot be read, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.get("synthetic(faces=20)")
        >>> len(faces), faces.image_shape
        (20, (48, 48, 1))
    """
    if isinstance(identifier, FaceTable):
        return identifier
    row, _ = DATASETS.resolve(identifier)
    # Passed on only when it is set, so that a call string may contain skip_bad=True itself.
    common = {"skip_bad": True} if skip_bad else {}
    if not row.facts["data"]:
        if data is not None:
            raise UserError(f"dataset {row.name!r} reads no files; leave {str(data)!r} out.")
        return DATASETS.make(identifier, **common)
    if data is None:
        raise UserError(f"dataset {row.name!r} needs data: {row.facts['data']}.")
    given_path(data)
    try:
        return DATASETS.make(identifier, data, **common)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read: {error.strerror or error}.") from error


def as_tf_dataset(
    faces: FaceTable, batch_size: int = 128, shuffle: bool = False, augment: str | None = None, seed: int = 0
) -> "tf.data.Dataset":
    """Create batches of (images, targets) for ``model.fit`` and ``model.evaluate``.

    Experiments use ``fer_tf.input_pipeline``, which also resumes in the middle of a training. This function is for
    training with Keras alone.

    Args:
        faces: N faces with images in memory, for instance ``faces.train``.
        batch_size: Number of faces in a batch.
        shuffle: Shuffle the faces anew in each epoch.
        augment: Augmentation call strings or presets, separated by ``;``, such as ``"flip(); affine(rotation=10)"``;
            ``None`` means no augmentation. See ``fer_tf.augment``.
        seed: Seed of the order and of the augmentation.

    Returns:
        A dataset of pairs: float32 images of shape (batch, H, W, channels), from 0 to 255, and float32 targets of
        shape (batch, classes), whose rows sum to 1.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_synthetic(faces=30)
        >>> batches = datasets.as_tf_dataset(faces.train, batch_size=8, shuffle=True, augment="flip()")
        >>> images, targets = next(iter(batches))
        >>> images.shape, targets.shape
        (TensorShape([8, 48, 48, 1]), TensorShape([8, 7]))
    """
    import tensorflow as tf

    rows = tf.data.Dataset.range(len(faces))
    if shuffle:
        rows = rows.shuffle(min(len(faces), _SHUFFLED), seed=seed)
    calls = [call.strip() for call in (augment or "").split(";") if call.strip()]
    pipeline, rng = augmentation.get(calls), np.random.default_rng(seed)

    def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pipeline(faces.images[index], faces.targets[index], rng)

    def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, targets = tf.numpy_function(read, [index], (tf.float32, tf.float32))
        return (
            tf.ensure_shape(images, (None, None, None, faces.image_shape[2])),
            tf.ensure_shape(targets, (None, len(faces.label_set))),
        )

    return rows.batch(batch_size).map(batch).prefetch(tf.data.AUTOTUNE)
