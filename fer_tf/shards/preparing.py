"""Turn the photographs of a shard into records."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.faces import crops
from fer_tf.faces.detectors import NO_FACE
from fer_tf.faces.face_files import NewFace
from fer_tf.io import read_ahead
from fer_tf.io.pictures import read_picture
from fer_tf.shards.plan import Block, ShardOptions, Task
from fer_tf.shards.writing import Record, write_shard

if TYPE_CHECKING:
    from fer_tf.inference.classifier import ExpressionClassifier

BATCH = 64


class Preparer:
    """Holds the detector and the network while it writes shard after shard."""

    def __init__(self, task: Task):
        """Load what the options name.

        Raises:
            UserError: a detector or network that cannot be had.
        """
        self.task, options = task, task.options
        self.detector = None if options.faces == "whole" else crops.detectors.get(options.detector)
        self.reader = _NetworkAnswers(options) if options.model else None

    def write(self, block: Block) -> dict[str, Any]:
        """Write a block's shard; return what its JSON says."""
        records = self.records(block.names(self.task.dst))
        return write_shard(self.task.dst, block.number, records, block.key)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield one record a photograph, in order."""
        found = self._found(names) if self.detector else (self._whole(name) for name in names)
        return self.reader.read(found) if self.reader else found

    def _whole(self, name: str) -> Record:
        size, channels = self.task.options.size, self.task.options.channels
        try:
            return Record(name, "whole", face=NewFace(read_picture(self.task.path_of(name), size, channels)))
        except DataError as error:
            return Record(name, "unreadable", str(error))

    def _found(self, names: Sequence[str]) -> Iterator[Record]:
        own, stamps = {name: name for name in names}, dict.fromkeys(names, (0, 0))
        job = crops.crop_job(self.task.options.crop, own, stamps, self.detector)
        batches = read_ahead.read_batches((self.task.path_of(name), name) for name in names)
        with contextlib.closing(batches):
            for _, faces in read_ahead.two_at_a_time(job.faces_of, batches):
                yield from (self._record(entry.source, entry.reason, found) for entry, found in faces)

    def _record(self, name: str, reason: str, faces: Sequence[NewFace]) -> Record:
        if not faces:
            return Record(name, "no face" if reason == NO_FACE else "unreadable", reason)
        (face,) = faces
        if self.task.options.channels == 1:
            face = replace(face, image=np.asarray(Image.fromarray(face.image).convert("L"))[..., None])
        return Record(name, "whole" if np.isnan(face.score) else "face", face=face)


class _NetworkAnswers:
    """Adds a network's answers to records, a batch at a time."""

    def __init__(self, options: ShardOptions):
        """Load the network.

        Raises:
            UserError: no such network, or one whose last features cannot be had.
        """
        from fer_tf.inference.classifier import ExpressionClassifier

        self.classifier = ExpressionClassifier(options.model)
        self.inner = _with_features(self.classifier) if options.features else None

    def read(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, those with a face with ``probabilities`` and, where asked for, ``features``."""
        waiting: list[Record] = []
        for record in records:
            waiting.append(record)
            if len(waiting) == BATCH:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def _answered(self, records: Sequence[Record]) -> Iterator[Record]:
        images = [record.image for record in records if record.image is not None]
        rows = self._answers(np.stack(images)) if images else iter(())
        for record in records:
            yield record if record.image is None else replace(record, **next(rows))

    def _answers(self, faces: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        if self.inner is None:
            yield from ({"probabilities": row} for row in self.classifier.predict(faces))
            return
        from fer_tf.metrics.probabilities import log_softmax

        prepared = self.classifier.prepare(faces.astype(np.float32))
        features, logits = (np.asarray(x) for x in self.inner.predict_on_batch(prepared))
        probabilities = np.exp(log_softmax(logits / self.classifier.metadata.temperature)).astype(np.float32)
        for row, inside in zip(probabilities, features, strict=True):
            yield {"probabilities": row, "features": inside.ravel()}


def _with_features(classifier: "ExpressionClassifier") -> Any:
    """Return a model from prepared faces to what the layer ``logits`` gets, and the logits."""
    import keras

    from fer_tf.models import logits_of

    network = classifier.network
    if "logits" not in [layer.name for layer in network.layers]:
        raise UserError(
            f"Network {network.name!r} has no layer 'logits', before which its features would be. Give one that sees "
            "a face once."
        )
    return keras.Model(network.inputs, [network.get_layer("logits").input, logits_of(network.output)])
