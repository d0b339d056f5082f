"""A Ray cluster of two hosts, each a network namespace with an address of its own: runs go to both, one host dies."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

FIRST, SECOND, PORT = "10.199.77.1", "10.199.77.2", 6379


def can_make_hosts():
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") is not None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'cluster' (Ray, 240 MB) is not installed"),
    pytest.mark.skipif(not can_make_hosts(), reason="network namespaces need root and iproute2"),
]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Give the names of two network namespaces that reach each other, and nothing else."""
    names = [f"fer{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for name, address in zip(names, (FIRST, SECOND), strict=True):
            ip("link", "set", name, "netns", name)
            ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        remove(names)
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    yield names
    remove(names)


def remove(names):
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def start(hosts, tmp_path):
    """Give what starts a program on a host; all of them end with the test."""
    # Tests before this one may have had clusters of one machine, which are told so by such variables.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    begun = []

    def on(host, *words):
        with (tmp_path / f"log{len(begun)}").open("w") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", hosts[host], *words], stdout=subprocess.PIPE, stderr=log,
                text=True, env={**plain, **token}, start_new_session=True,
            )  # fmt: skip
        begun.append(process)
        return process

    yield on
    for process in begun:
        end(process)


def end(process):
    """Kill a program and what it started, as a host that loses its power does."""
    if process.poll() is None:
        inside = subprocess.run(
            ["ps", "-s", str(process.pid), "-o", "pid="], check=False, capture_output=True, text=True
        )
        for pid in inside.stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.stdout.close()
    process.wait()


def node(*words):
    """Return the command that makes a host a node of a cluster."""
    ray = str(Path(sys.executable).with_name("ray"))
    store = str(80 * 2**20)
    return [ray, "start", "--num-cpus=1", "--num-gpus=0", f"--object-store-memory={store}", "--block", *words]


@pytest.fixture
def short():
    """Give a folder whose path leaves room for the names of Ray's sockets, which have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield folder


def test_runs_go_to_both_hosts_and_those_of_a_dead_one_to_the_other(short, start, tmp_path):
    out = tmp_path / "study"
    address = f"{FIRST}:{PORT}"
    own = [f"--node-ip-address={FIRST}", f"--port={PORT}", f"--temp-dir={short}", "--include-dashboard=false"]
    start(0, *node("--head", *own))
    second = start(1, *node(f"--address={address}", f"--node-ip-address={SECOND}"))
    driver = start(0, sys.executable, str(Path(__file__).with_name("on_two_hosts.py")), address, str(out))
    deadline = time.monotonic() + 240
    while not any(SECOND in path.read_text() for path in out.glob("runs/long*/begun.txt")):
        said = "".join((tmp_path / f"log{i}").read_text()[-2000:] for i in range(3))
        assert driver.poll() is None and second.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.2)
    end(second)
    # Ray says on the same stream that a host is gone, before or after the list.
    said = driver.communicate(timeout=240)[0].splitlines()
    told = json.loads(next(line for line in said if line.startswith("[[")))
    assert [name for name, *_ in told] == ["long 1", "long 2", "r1", "r2", "r3", "r4", "r5", "r6"]
    assert all(host == FIRST for name, host, *_ in told if name.startswith("long"))
    lost = [begun for name, _, begun, _ in told if begun[0] == SECOND and name.startswith("long")]
    assert lost == [[SECOND, FIRST]]
    assert all(len(begun) == 1 for name, _, begun, _ in told if not name.startswith("long"))
    table = pd.read_csv(out / "results.csv")
    assert list(table["run"]) == [name for name, *_ in told] and set(table["status"]) == {"done"}
