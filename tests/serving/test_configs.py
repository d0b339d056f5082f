"""The server's own readers understand what is written for it, and nobody's changes are lost."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from fer_tf.serving import configs


@pytest.fixture
def exports(tmp_path):
    for name in ("faces/1", "faces/2", "moods/7", "empty", "notes/old"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def models(path):
    text = (path / configs.MODELS).read_text()
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_every_model_is_listed_once_without_version_labels(exports):
    for _ in range(2):
        written = configs.write(exports)
        assert [p.name for p in written] == ["models.config", "batching.config", "SERVING.md"]
        found = models(exports)
        assert [(m.name, m.base_path) for m in found] == [("faces", "/models/faces"), ("moods", "/models/moods")]
        assert all(m.model_platform == "tensorflow" and not m.version_labels for m in found)


def test_a_new_model_is_added_to_what_was_changed_by_hand(exports):
    configs.write(exports)
    own = (exports / "models.config").read_text().replace(
        'model_platform: "tensorflow"', 'model_platform: "tensorflow"\n    model_version_policy { all {} }'
    )  # fmt: skip
    (exports / "models.config").write_text("# ours {\n" + own)
    (exports / "batching.config").write_text("max_batch_size { value: 9 }\n")
    (exports / "new" / "1").mkdir(parents=True)
    configs.write(exports)
    found = models(exports)
    assert [m.name for m in found] == ["faces", "moods", "new"]
    assert [m.model_version_policy.HasField("all") for m in found] == [True, True, False]
    assert (exports / "batching.config").read_text() == "max_batch_size { value: 9 }\n"


def test_batching_is_a_list_of_known_settings(exports):
    configs.write(exports)
    lines = [line for line in (exports / "batching.config").read_text().splitlines() if not line.startswith("#")]
    # The message of tensorflow_serving.BatchingParameters is not among the official stubs.
    known = {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}
    assert {line.split()[0] for line in lines} == known
    assert all(line.split()[1:3] == ["{", "value:"] and int(line.split()[3]) > 0 and line[-1] == "}" for line in lines)


def test_nothing_names_this_machine(exports):
    for path in configs.write(exports):
        assert str(exports) not in path.read_text()
