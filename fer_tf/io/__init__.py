"""Read and write files, and run folder jobs that can be resumed."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.io.cache:StreamedFaces",
    "fer_tf.io.cache:load_array",
    "fer_tf.io.atomic:atomic_write",
    "fer_tf.io.atomic:folder_lock",
    "fer_tf.io.atomic:write_json",
    "fer_tf.io.atomic:write_text",
    "fer_tf.io.cache:cached",
    "fer_tf.io.folder_job:FolderJob",
    "fer_tf.io.folder_job:JobSummary",
    "fer_tf.io.folders:find_pictures",
    "fer_tf.io.tables:Entry",
    "fer_tf.io.tables:Journal",
    "fer_tf.io.pictures:read_photograph",
    "fer_tf.io.pictures:read_picture",
    "fer_tf.io.tfrecord:RecordWriter",
    "fer_tf.io.tfrecord:decode_example",
    "fer_tf.io.tfrecord:encode_example",
    "fer_tf.io.tfrecord:read_records",
    "fer_tf.io.video:read_frames",
)
