"""Datasets by name: every adapter returns a ``FaceTable``.

A row's facts: ``needs_data`` (the adapter reads the user's files; ``data`` says which) and ``label_set`` (name of the
label set, ``None`` where the files decide).
"""

from pathlib import Path

from fer_tf.errors import DataError, UserError
from fer_tf.facetable import FaceTable
from fer_tf.registry import Registry

DATASETS = Registry("dataset")
DATASETS.add("synthetic", "fer_tf.datasets.synthetic:load", needs_data=False, data="", label_set="fer2013")
DATASETS.add(
    "synthetic_ferplus", "fer_tf.datasets.synthetic:load_ferplus", needs_data=False, data="", label_set="ferplus"
)
DATASETS.add(
    "fer2013", "fer_tf.datasets.fer2013:load", needs_data=True, label_set="fer2013",
    data="the folder with fer2013.csv, icml_face_data.csv or train/<class>",
)  # fmt: skip
DATASETS.add(
    "ferplus", "fer_tf.datasets.ferplus:load", needs_data=True, label_set="ferplus",
    data="the folder with fer2013new.csv beside fer2013.csv, or with FER2013Train/label.csv",
)  # fmt: skip
DATASETS.add(
    "rafdb", "fer_tf.datasets.rafdb:load", needs_data=True, label_set="rafdb",
    data="the folder with EmoLabel/list_patition_label.txt and Image/aligned, or with DATASET/train/1",
)  # fmt: skip
DATASETS.add(
    "affectnet", "fer_tf.datasets.affectnet:load", needs_data=True, label_set="affectnet",
    data="the folder with training.csv, validation.csv and Manually_Annotated_Images, or with train_set and val_set",
)  # fmt: skip
DATASETS.add(
    "ckplus", "fer_tf.datasets.ckplus:load", needs_data=True, label_set="ckplus",
    data="the folder with cohn-kanade-images, Emotion and Landmarks, or with CK+48/<class>, or with ckextended.csv",
)  # fmt: skip
DATASETS.add(
    "sfew", "fer_tf.datasets.sfew:load", needs_data=True, label_set="sfew",
    data="the folder with Train/<class> and Val/<class>, or with Train_Aligned_Faces and Val_Aligned_Faces",
)  # fmt: skip
DATASETS.add(
    "lfwfer", "fer_tf.datasets.lfwfer:load", needs_data=True, label_set="lfwfer",
    data="the folder with LFW-FER, M-LFW-FER or M-LFW-FER-face-cut, each of train/<class> and eval/<class>",
)  # fmt: skip
DATASETS.add(
    "folder", "fer_tf.datasets.folder:load", needs_data=True, label_set=None,
    data="a folder of <class>/*.png or <split>/<class>/*.png",
)  # fmt: skip
DATASETS.add(
    "records", "fer_tf.datasets.records:load", needs_data=True, label_set=None,
    data="the folder of TFRecord shards that python -m fer_tf.faces crop --format tfrecord wrote",
)  # fmt: skip
DATASETS.add(
    "shards", "fer_tf.datasets.shards:load", needs_data=True, label_set=None,
    data="the folder of shards that python -m fer_tf.shards prepare wrote",
)  # fmt: skip
DATASETS.add(
    "csv", "fer_tf.datasets.csvfile:load", needs_data=True, label_set=None,
    data="a CSV with the columns path,label, or path and a distribution",
)  # fmt: skip


def load(text: str, data: Path | str | None = None, skip_bad: bool = False) -> FaceTable:
    """Read the dataset that a call string names.

    Args:
        text: name and options, such as ``"ferplus(mode='probability')"``.
        data: the user's file or folder; ``None`` for datasets that need none.
        skip_bad: leave bad rows out, and list them in ``FaceTable.skipped``, instead of stopping at the first.

    Raises:
        UserError: unknown dataset or option, ``data`` missing or not wanted.
        DataError: the files cannot be read, or hold a bad row.
    """
    row, _ = DATASETS.resolve(text)
    # Passed on only when set, so that a call string may say skip_bad=True itself.
    common = {"skip_bad": True} if skip_bad else {}
    if not row.facts["needs_data"]:
        if data is not None:
            raise UserError(f"dataset {row.name!r} reads no files; leave {str(data)!r} out.")
        return DATASETS.make(text, **common)
    if data is None:
        raise UserError(f"dataset {row.name!r} needs data: {row.facts['data']}.")
    try:
        return DATASETS.make(text, data, **common)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read: {error.strerror or error}.") from error
