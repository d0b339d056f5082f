"""Servers of the genuine protocols around any function (signature, files) → columns."""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class Rest(http.server.BaseHTTPRequestHandler):
    """The part of TensorFlow Serving's REST API that the documentation calls row format."""

    def do_POST(self):
        path, _, verb = self.path.rpartition(":")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((path, verb, body))
        if path.split("/")[3] == "strange":
            return self.send(200, {"predictions": [[0.5]] * len(body["instances"])})
        if path.split("/")[3] == "proxy":
            return self.send(200, b"<html>")
        if path.split("/")[3] != "faces" or verb != "predict":
            return self.send(404, {"error": "Servable not found for request: Latest(other)"})
        files = []
        for instance in body["instances"]:
            # An object a row, by the input's name; b64 inside marks bytes.
            assert set(instance) == {"image_bytes"} and set(instance["image_bytes"]) == {"b64"}
            files.append(base64.b64decode(instance["image_bytes"]["b64"], validate=True))
        columns = self.server.run(body["signature_name"], files)
        rows = [{name: plain(column[i]) for name, column in columns.items()} for i in range(len(files))]
        return self.send(200, {"predictions": rows})

    def do_GET(self):
        self.send(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})

    def send(self, code, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def plain(value):
    """Return a value as TensorFlow Serving writes it in JSON: strings that are not called _bytes as text."""
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value


@contextlib.contextmanager
def rest_server(run):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest) as server:
        server.run, server.seen = run, []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, run):
        self.run, self.seen = run, []

    def Predict(self, request, context):
        self.seen.append(request.model_spec)
        if request.model_spec.name != "faces":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(other)")
        (name,) = request.inputs
        assert name == "image_bytes"
        columns = self.run(request.model_spec.signature_name, tf.make_ndarray(request.inputs[name]).tolist())
        reply = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in columns.items():
            reply.outputs[key].CopyFrom(value if hasattr(value, "tensor_shape") else tf.make_tensor_proto(value))
        return reply


@contextlib.contextmanager
def grpc_server(run):
    service = Service(run)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    service.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service
    server.stop(None).wait()
