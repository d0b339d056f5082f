"""Several devices share each batch: what they refuse, and (in other processes) that the loss is one device's."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from fer_tf.errors import UserError
from fer_tf.training import parts
from fer_tf.training.config import RunConfig

HERE = Path(__file__).parent
CONFIG = RunConfig(name="small", batch_size=24)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(parts, "_devices", lambda: ["GPU:0", "GPU:1", "GPU:2"])


def test_one_device_takes_everything(three):
    parts.check_devices(replace(CONFIG, batch_size=7, sharpness=0.05, jit_compile=True), 5, 1)


@pytest.mark.parametrize(
    ("settings", "faces", "devices", "message"),
    [
        ({}, 100, 4, "4 devices were asked for; Keras on .* sees 3 here: GPU:0, GPU:1, GPU:2"),
        ({"batch_size": 25}, 100, 2, "2 devices cannot share a batch of 25 faces equally. Expected a multiple of 2"),
        ({}, 23, 3, "3 devices cannot share a batch of 23 faces equally"),
    ],
)
def test_what_cannot_be_shared_is_refused(three, settings, faces, devices, message):
    with pytest.raises(UserError, match=message):
        parts.check_devices(replace(CONFIG, **settings), faces, devices)
    parts.check_devices(CONFIG, 100, 3)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="the limits of TensorFlow")
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"jit_compile": True}, r"jit_compile \(--jit\)"),
        ({"clipnorm": 1.0}, "gradient clipping"),
        ({"global_clipnorm": 1.0}, "gradient clipping"),
        ({"clipvalue": 1.0}, "gradient clipping"),
        ({"sharpness": 0.05}, "sharpness"),
        ({"objective": "scn"}, "objective 'scn'"),
        ({"objective": "multitask(class_weights='none')"}, "objective .multitask"),
        ({"objective": "classification(class_weights='balanced')"}, "objective .classification"),
    ],
)
def test_what_needs_the_whole_batch_is_refused_on_tensorflow(three, monkeypatch, settings, named):
    config = replace(CONFIG, **settings)
    with pytest.raises(UserError, match=f"on TensorFlow cannot train with {named}.*KERAS_BACKEND=jax"):
        parts.check_devices(config, 100, 2)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    parts.check_devices(config, 100, 2)


def test_another_backend_is_refused(three, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="2 devices need Keras on JAX or TensorFlow; KERAS_BACKEND is torch"):
        parts.check_devices(CONFIG, 100, 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_devices_train_as_one(backend):
    pytest.importorskip(backend)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "on_two_devices.py")]
    # Compiled in a hurry: steps are few.
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    virtual = {"KERAS_BACKEND": backend, "XLA_FLAGS": flags}
    done = subprocess.run(
        command, env={**os.environ, **virtual}, cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
