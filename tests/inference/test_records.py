import json

import numpy as np

from fer_tf.inference.output import Face, Prediction
from fer_tf.labels import LabelSet

POINTS = np.array([[1.5, 2], [3, 2], [2, 3], [1, 4], [3, 4]], np.float32)


def face(**changes):
    row = {
        "source": "a b/ü.jpg", "frame": 3, "time": 0.12, "index": 1, "box": (1.25, -2.0, 30.5, 40.0), "score": 0.75,
        "landmarks": POINTS, "distribution": {"sad": 0.25, "happy": 0.75}, "label": "happy", "track": 4,
    }  # fmt: skip
    return Face(**{**row, **changes})


def test_json_holds_everything_and_comes_back():
    values = json.loads(json.dumps(face().to_json(), allow_nan=False))
    assert values == {
        "source": "a b/ü.jpg", "frame": 3, "time": 0.12, "index": 1, "track": 4, "box": [1.25, -2.0, 30.5, 40.0],
        "score": 0.75, "landmarks": [[1.5, 2.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0], [3.0, 4.0]],
        "distribution": {"sad": 0.25, "happy": 0.75}, "label": "happy",
    }  # fmt: skip
    back = Face.from_json(values)
    assert back.to_json() == values and back.landmarks.shape == (5, 2) and back.box == face().box


def test_what_a_photograph_lacks_is_null():
    values = face(frame=None, time=None, score=None, landmarks=None, track=None).to_json()
    assert [values[k] for k in ("frame", "time", "score", "landmarks", "track")] == [None] * 5
    assert Face.from_json(values).landmarks is None


def test_another_distribution_brings_its_label():
    changed = face().with_distribution({"sad": 0.6, "happy": 0.4}, 7)
    assert (changed.label, changed.track, changed.source) == ("sad", 7, "a b/ü.jpg")


def test_labels_of_a_prediction_are_its_largest_columns():
    found = Prediction(np.array([[0.2, 0.8], [0.9, 0.1]], np.float32), LabelSet("two", ("a", "b")))
    assert found.labels == ["b", "a"] and len(found) == 2
