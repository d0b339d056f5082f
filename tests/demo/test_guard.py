"""The guard before Gradio, without Gradio: an application that says what reached it stands behind it."""

import asyncio
import json

import pytest

from fer_tf.demo import guard
from fer_tf.demo.guard import Guard, Limits, Uploads


class Behind:
    """Reads the whole body, and remembers how much that was."""

    def __init__(self):
        self.bodies, self.cut = [], 0

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.cut += 1
                raise RuntimeError("the client has gone")
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"behind"})


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "face.png").write_bytes(b"x")
    return Uploads(tmp_path, 600, 10_000_000)


@pytest.fixture
def front(behind, folder):
    return Guard(behind, folder, Limits(megabytes=0.1, rate=30))


def ask(
    app, path, body=b"", method="POST", headers=(), client="1.2.3.4", chunk=10_000, length=True, server="127.0.0.1"
):
    """Send a request; return status, headers, body, and how many bytes were fetched of ours."""
    sent, fetched = [], 0
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]
    given = [(k.encode(), v.encode()) for k, v in {"host": "127.0.0.1:7860", **dict(headers)}.items()]
    if length and method == "POST":
        given.append((b"content-length", str(len(body)).encode()))

    async def receive():
        nonlocal fetched
        if not chunks:
            return {"type": "http.disconnect"}
        part = chunks.pop(0)
        fetched += len(part)
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": given, "client": (client, 1),
             "server": (server, 7860)}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"], fetched


def test_a_body_that_says_it_is_too_large_is_refused_unread(front, behind):
    status, _, body, fetched = ask(front, guard.UPLOAD, bytes(200_000))
    assert status == 413 and fetched == 0 and not behind.bodies
    assert json.loads(body)["detail"] == "Larger than 0.1 MB."


def test_a_body_that_does_not_say_so_is_cut_off(front, behind):
    status, _, _, fetched = ask(front, guard.UPLOAD, bytes(2_000_000), length=False)
    assert status == 413 and behind.cut == 1 and not behind.bodies
    # One chunk more than what a file of 100,000 bytes may take.
    assert fetched <= 100_000 + guard.AROUND_BYTES + 10_000


def test_a_body_of_the_largest_size_passes_as_it_is(front, behind):
    status, headers, body, _ = ask(front, guard.UPLOAD, bytes(100_000))
    assert status == 200 and body == b"behind" and behind.bodies == [bytes(100_000)]
    assert b"default-src 'self'" in headers[b"content-security-policy"]


@pytest.mark.parametrize("length", [True, False])
def test_a_large_call_is_refused(front, behind, length):
    status, _, _, fetched = ask(front, "/gradio_api/queue/join", bytes(500_000), length=length)
    assert status == 413 and not behind.bodies and fetched <= guard.CALL_BYTES + 10_000


def call(path):
    return json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "x"], "fn_index": 0}).encode()


def test_calls_with_an_upload_pass_unchanged(front, behind, folder):
    body = call(str(folder.path / "abc" / "face.png"))
    assert ask(front, "/gradio_api/call/photograph", body, chunk=7)[0] == 200
    assert behind.bodies == [body]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "http://127.0.0.1:1/x.png",
        "file:///etc/passwd",
        "face.png",
        "{}/../x.png",
        5,
        None,
        ["a"],
        {"path": 1},
    ],
)
def test_calls_with_other_files_are_refused(front, behind, folder, path):
    path = path.format(folder.path) if isinstance(path, str) else path
    status, _, body, _ = ask(front, "/gradio_api/queue/join", call(path))
    assert status == 400 and b"Only uploaded files" in body and not behind.bodies


def test_an_upload_that_was_deleted_is_called_so(front, folder):
    status, _, body, _ = ask(front, "/gradio_api/queue/join", call(str(folder.path / "old" / "face.png")))
    assert status == 410 and b"deleted" in body


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 50_000])
def test_what_is_no_json_is_refused(front, behind, body):
    assert ask(front, "/gradio_api/queue/join", body)[0] == 400 and not behind.bodies


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/run/photograph"), ("POST", "/gradio_api/api/photograph"), ("GET", "/monitoring"),
        ("GET", "/gradio_api/proxy=http://host/x"), ("POST", "/gradio_api/component_server"), ("PUT", "/"),
        ("POST", "/gradio_api/vibe-edit"), ("GET", "/gradio_api/file=/etc/passwd"), ("DELETE", "/config"),
        ("GET", "/gradio_api/file=http://host/x"), ("GET", "/gradio_api/file={}/../../etc/passwd"), ("POST", "/"),
        ("GET", "/docs"), ("GET", "/gradio_api/runs"),
    ],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(front, behind, folder, method, path):
    assert ask(front, path.format(folder.path), method=method)[0] == 404 and not behind.bodies


@pytest.mark.parametrize(
    "path", ["/", "/assets/x.js", "/config", "/gradio_api/queue/data", "/gradio_api/file={}/abc/face.png"]
)
def test_what_the_page_needs_is(front, folder, path):
    status, headers, body, _ = ask(front, path.format(folder.path), method="GET")
    assert (status, body) == (200, b"behind") and b"content-security-policy" in headers


def test_an_address_has_its_turns_and_another_its_own(behind, folder):
    now = 1000.0
    front = Guard(behind, folder, Limits(rate=30), clock=lambda: now)
    answers = [ask(front, "/gradio_api/queue/join", b"{}")[0] for _ in range(31)]
    assert answers == [200] * 30 + [429]
    assert ask(front, "/gradio_api/queue/join", b"{}", client="5.6.7.8")[0] == 200
    # Reading costs nothing; thirty a minute are one in two seconds.
    assert ask(front, "/", method="GET")[0] == 200
    now += 2.01
    assert [ask(front, "/gradio_api/queue/join", b"{}")[0] for _ in range(2)] == [200, 429]


def test_another_sites_page_may_not_send(front, behind):
    headers = {"origin": "http://evil.example", "host": "127.0.0.1:7860"}
    assert ask(front, guard.UPLOAD, b"x", headers=headers)[0] == 403 and not behind.bodies
    assert ask(front, guard.UPLOAD, b"x", headers={**headers, "origin": "http://127.0.0.1:7860"})[0] == 200


def test_room_is_made_for_an_upload(behind, folder):
    folder.total = 100_000
    assert ask(Guard(behind, folder, Limits(0.1)), guard.UPLOAD, bytes(100_000))[0] == 200
    assert not (folder.path / "abc").exists()


def test_uploads_that_are_slow_or_too_many_are_refused(behind, folder):
    async def slow(scope, receive, send):
        await asyncio.sleep(30)

    front = Guard(slow, folder, Limits(seconds=0.05))
    assert ask(front, guard.UPLOAD, b"x")[0] == 408
    assert ask(Guard(behind, folder, Limits(uploads=0)), guard.UPLOAD, b"x")[0] == 503
    assert ask(Guard(behind, folder), "/gradio_api/queue/join", b"{}")[0] == 200


def test_websockets_are_closed(front):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(front({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "name",
    ["localhost:7860", "LOCALHOST", "127.0.0.1:9", "[::1]:7860", "localhost.", "faces.example.org", "192.168.1.5:7860"],
)
def test_the_servers_own_names_are_accepted(behind, folder, name):
    front = Guard(behind, folder, hosts=["Faces.example.org"])
    assert ask(front, "/", method="GET", headers={"host": name}, server="192.168.1.5")[0] == 200
    assert ask(front, "/gradio_api/queue/join", b"{}", headers={"host": name}, server="::ffff:192.168.1.5")[0] == 200


@pytest.mark.parametrize(
    "name", ["evil.example:7860", "evil.example", "", "localhost.evil.example", "a@b:c", "[", "10.0.0.1"]
)
def test_other_names_are_refused_whose_page_may_have_been_rebound(front, behind, name):
    headers = {"host": name, "origin": f"http://{name}"}
    for method in ("GET", "POST"):
        status, _, body, _ = ask(front, "/gradio_api/queue/join" if method == "POST" else "/", b"{}", method, headers)
        assert status == 421 and b"--name" in body and not behind.bodies


def test_forwarded_headers_go_no_further_unless_there_is_a_proxy(folder):
    seen = []

    async def app(scope, receive, send):
        seen.append({k.decode() for k, _ in scope["headers"]})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = {"x-forwarded-host": "evil.example", "X-Forwarded-For".lower(): "9.9.9.9", "forwarded": "for=9.9.9.9"}
    for proxied in (False, True):
        ask(Guard(app, folder, proxied=proxied), "/", method="GET", headers=sent)
    assert seen == [{"host"}, {"host", *sent}]


def test_an_address_has_so_many_requests_at_a_time(folder):
    async def main():
        held, statuses = asyncio.Event(), []

        async def app(scope, receive, send):
            await held.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        front = Guard(app, folder, Limits(at_once=2))
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
        addresses = ["1.1.1.1"] * 4 + ["2.2.2.2"]
        tasks = [asyncio.create_task(front({**scope, "client": (a, 1)}, None, send)) for a in addresses]
        await asyncio.sleep(0.05)
        refused = list(statuses)
        held.set()
        await asyncio.gather(*tasks)
        await front({**scope, "client": ("1.1.1.1", 1)}, None, send)
        return refused, statuses

    assert asyncio.run(main()) == ([429, 429], [429, 429, 200, 200, 200, 200])


def test_a_call_whose_body_drips_is_ended(behind, folder):
    async def never():
        await asyncio.sleep(30)

    async def main():
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "client": ("1.1.1.1", 1),
                 "headers": [(b"host", b"localhost")]}  # fmt: skip
        await Guard(behind, folder, Limits(call_seconds=0.05))(scope, never, send)
        return sent[0]["status"]

    assert asyncio.run(main()) == 408
