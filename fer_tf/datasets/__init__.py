"""Load facial expression datasets by function or by call string."""

from pathlib import Path

from fer_tf._lazy import attach
from fer_tf.errors import DataError, UserError
from fer_tf.facetable import FaceTable
from fer_tf.registry import Registry

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
    ("records", "records", "the folder of TFRecord shards that fer-tf crop --format tfrecord wrote"),
    ("shards", "shards", "the folder of shards that fer-tf shards prepare wrote"),
    ("csv", "csvfile", "a CSV with the columns path,label, or path and a distribution"),
):  # fmt: skip
    DATASETS.add(_name, f"fer_tf.datasets.{_module}:load_{_name}", data=_data)

__getattr__, __dir__, __all__ = attach(
    __name__,
    *(DATASETS[name].target for name in DATASETS),
    "fer_tf.datasets.label_noise:flip_labels",
    "fer_tf.datasets.landmarks:with_landmarks",
    "fer_tf.datasets.tfdata:as_tf_dataset",
    own=("get",),
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
    try:
        return DATASETS.make(identifier, data, **common)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read: {error.strerror or error}.") from error
