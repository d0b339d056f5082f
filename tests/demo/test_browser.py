"""The page in a real browser: what people do, what they see, and what is asked of the internet (nothing)."""

import importlib.util
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPEC = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(browser)

pytestmark = pytest.mark.slow

RESULT = "(document.querySelector('#photograph-result')?.innerText ?? '')"
CARDS = "document.querySelectorAll('#photograph-result .fer-card').length"
FOCUSED = "(document.activeElement.ariaLabel || document.activeElement.innerText || document.activeElement.tagName)"
INPUT = "#photograph input[type=file]"


@pytest.fixture
def tab(server, tmp_path):
    """Open the page; in the end nothing must have been asked for elsewhere, or gone wrong."""
    one = browser.Browser(tmp_path / "profile")
    one.size(1280, 900)
    one.open(server.address)
    one.wait(f"document.querySelector('{INPUT}') !== null")
    yield one
    problems, elsewhere, count = one.problems, one.elsewhere(server.address), len(one.requests)
    one.close()
    assert count > 10 and not elsewhere and not problems


def click(tab, label):
    tab.wait(f"document.querySelector('[aria-label=\"{label}\"]') !== null")
    tab.value(f"document.querySelector('[aria-label=\"{label}\"]').click()")


def widest(tab):
    return tab.value("document.documentElement.scrollWidth")


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_an_upload_is_looked_at_and_seen(tab, faces, joy, tmp_path, size):
    tab.size(*size, mobile=size[0] < 500)
    tab.choose(INPUT, faces / "two.jpg")
    tab.wait(f"{CARDS} == 2")
    text = tab.value(RESULT)
    assert text.startswith("2 faces: ") and f"Face 2: {joy}" in text and f"Grad-CAM of {joy}" in text
    # Numbers stand beside the bars, and nothing is wider than the screen.
    assert text.count(" %\n") + text.endswith(" %") >= 14 and widest(tab) <= size[0]
    shown = tab.value("[...document.querySelectorAll('#photograph-result img')].map(i => [i.naturalWidth, i.alt])")
    assert [w for w, _ in shown] == [1024, 224, 224] and all(alt for _, alt in shown)
    # The orange of a bar, once what is new has faded in.
    end = time.monotonic() + 20
    while not _has(tab, tmp_path / "page.png", size[0], (230, 159, 0)):
        assert time.monotonic() < end


def _has(tab, path, width, color):
    tab.screenshot(path)
    seen = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert seen.shape[1] in (width, width - 15)
    return (np.abs(seen - color).sum(axis=-1) < 12).sum() > 500


def test_another_method_is_drawn_at_once(tab, faces):
    tab.choose(INPUT, faces / "one.jpg")
    tab.wait(f"{CARDS} == 1")
    tab.value("document.querySelector('#method input').focus()")
    tab.press("ArrowDown", 40), tab.press("ArrowDown", 40), tab.press("Enter", 13, "\r")
    tab.wait(f"!{RESULT}.includes('Grad-CAM of') && {CARDS} == 1")


def _calls(tab):
    return sum("/queue/join" in address for address in tab.requests)


def test_another_network_is_asked_at_once(tab, faces):
    tab.choose(INPUT, faces / "one.jpg")
    tab.wait(f"{CARDS} == 1")
    calls = _calls(tab)
    assert calls
    # Whether the list begins at the chosen network or before it is Gradio's to say.
    for downs in (1, 2):
        tab.value("document.activeElement.blur(), document.querySelector('#model input').focus()")
        for _ in range(downs):
            tab.press("ArrowDown", 40)
        tab.press("Enter", 13, "\r")
        time.sleep(1)
        if tab.value("document.querySelector('#model input').value") == "other":
            break
    # It is the same network under another name: only the call shows.
    end = time.monotonic() + 30
    while _calls(tab) == calls:
        assert time.monotonic() < end
        tab.value("1")
        time.sleep(0.1)
    assert tab.value("document.querySelector('#model input').value") == "other"


def test_a_picture_can_be_pasted(tab, faces):
    tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    tab.call("Page.bringToFront")
    tab.value(
        "(async () => { const c = document.createElement('canvas'); c.width = c.height = 64;"
        "c.getContext('2d').fillRect(0, 0, 32, 32); const b = await new Promise(r => c.toBlob(r, 'image/png'));"
        "await navigator.clipboard.write([new ClipboardItem({'image/png': b})]); })()"
    )
    click(tab, "Paste from clipboard")
    tab.wait(f"{RESULT}.includes('No face found')")


def test_a_webcam_gives_a_photograph(tab):
    click(tab, "Capture from camera")
    access = "[...document.querySelectorAll('#photograph button')].find(b => b.innerText.includes('Access Webcam'))"
    tab.wait(f"{access} !== undefined")
    tab.value(f"{access}.click()")
    tab.wait("document.querySelector('#photograph video')?.videoWidth > 0")
    click(tab, "capture photo")
    tab.wait(f"{RESULT}.includes('face')")


def test_bad_files_and_large_ones_get_a_line(tab, faces, tmp_path):
    (tmp_path / "bad.jpg").write_text("<html>")
    tab.choose(INPUT, tmp_path / "bad.jpg")
    tab.wait(f"{RESULT}.includes('This file cannot be used: no picture')")
    click(tab, "Remove Image")
    tab.wait(f"{RESULT}.includes('Results appear here')")
    (tmp_path / "large.jpg").write_bytes(os.urandom(26_000_000))
    tab.choose(INPUT, tmp_path / "large.jpg")
    tab.wait("document.body.innerText.includes('maximum allowed size')")


def test_a_video_gives_a_timeline(tab, faces):
    tab.value("[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText == 'Video').click()")
    tab.wait("document.querySelector('#video input[type=file]') !== null")
    tab.choose("#video input[type=file]", faces / "film.mp4")
    tab.wait("document.querySelector('#video video')?.videoWidth == 512")
    tab.value("document.querySelector('#follow').click()")
    tab.wait("document.querySelector('#video-result .fer-wide img')?.naturalWidth > 640")
    assert tab.value("document.querySelectorAll('#video-result .fer-card').length") == 2
    tab.size(390, 844, mobile=True)
    time.sleep(0.5)
    assert widest(tab) <= 390


def test_a_keyboard_reaches_everything(tab):
    stops = []
    for _ in range(10):
        tab.press("Tab", 9)
        stops.append(tab.value(FOCUSED))
        ring = tab.value("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none" or stops[-1] == "BODY" or tab.value("document.activeElement === document.body")
    for wanted in ("Photograph", "Video", "Upload file", "Capture from camera", "Paste from clipboard", "Heat map"):
        assert wanted in stops
    tab.value("document.querySelector('button[role=tab]').focus()")
    tab.press("ArrowRight", 39)
    tab.press("Enter", 13, "\r")
    tab.wait("document.querySelector('button[role=tab][aria-selected=true]') !== null")
