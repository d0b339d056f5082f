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
        "doubtful": True, "distribution": {"sad": 0.25, "happy": 0.75}, "label": "happy",
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


def test_landmarks_that_are_no_face_s_make_it_doubtful():
    upright = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
    quarter = np.stack([100 - upright[:, 1], upright[:, 0]], axis=1)
    askew = upright * (1, 0.1) + (0, 50)
    for points, doubtful in (
        (upright, False), (quarter, False), (100 - upright, False), (upright[:, ::-1], True), (askew, True),
        (upright[[1, 0, 2, 4, 3]], True), (np.where([[1]] * 5, upright, 0) * 0.3, True), (None, False),
    ):  # fmt: skip
        found = face(box=(0.0, 0.0, 100.0, 100.0), landmarks=points)
        assert found.doubtful is bool(doubtful) and found.to_json()["doubtful"] is bool(doubtful)
        assert Face.from_json(found.to_json()).doubtful is bool(doubtful)
