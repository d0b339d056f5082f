"""Our client, the official stubs, and an export behind them: photographs end to end over both protocols."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fer_tf.commands import client
from fer_tf.serving import GrpcClient, RestClient

SPEC = importlib.util.spec_from_file_location("servers", Path(__file__).with_name("servers.py"))
servers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(servers)

pytestmark = pytest.mark.slow


@pytest.fixture
def behind(run):
    """Answer from the export, in a version-1 session."""
    return lambda signature, files: run(signature, {"image_bytes": np.array(files, object)})


def test_photographs_over_both_protocols(behind, run, portrait, good, tmp_path):
    contents = {"portrait.jpg": portrait, "none.png": good["png"], "bad.png": good["png"][:99]}
    files = [tmp_path / name for name in contents]
    for file in files:
        file.write_bytes(contents[file.name])
    with servers.rest_server(behind) as rest, servers.grpc_server(behind) as service:
        over_grpc = GrpcClient(f"127.0.0.1:{service.port}")
        both = (RestClient(f"127.0.0.1:{rest.server_port}"), over_grpc)
        found, again = (list(client.ask(server, files)) for server in both)
        (face, _), (face_again, _) = (list(client.ask(server, files[::2], crop=False)) for server in both)
        over_grpc.close()
    assert found == again and face == face_again
    assert [a["valid"] for a in found] == [True, True, False] and [len(a["faces"]) for a in found] == [1, 0, 0]
    wanted = run("analyze", {"image_bytes": np.array([portrait], object)})
    (person,) = found[0]["faces"]
    np.testing.assert_allclose(person["box"], wanted["boxes"][0, 0], atol=0.01)
    np.testing.assert_allclose(list(person["distribution"].values()), wanted["probabilities"][0, 0], atol=1e-5)
    assert list(person["distribution"]) == ["glad", "cross", "weary", "awake"]
    assert person["label"] == max(person["distribution"], key=person["distribution"].get)
    assert sum(face["faces"][0]["distribution"].values()) == pytest.approx(1, abs=1e-6)
