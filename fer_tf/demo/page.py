"""The page itself, in Gradio; nothing else of the package imports Gradio."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fer_tf.demo.guard import Limits
from fer_tf.demo.temporary import Uploads
from fer_tf.errors import UserError

STYLE = Path(__file__).with_name("page.css")
TITLE = "Facial expressions"
WAITING = 64
WORKERS = 2
SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Arial", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]
ABOUT = (
    "# Facial expressions\nFaces are found, turned upright and recognised on the server that sent this page. What you "
    "send, up to {megabytes:g} MB a file, is deleted there after {minutes:.0f} minutes, and goes nowhere else."
)
HERE = "<p>Results appear here.</p>"
Result = tuple[str, dict[str, Any]]


def import_gradio(uploads: Uploads) -> ModuleType:
    """Import Gradio, told where uploads go and to call nobody.

    Raises:
        UserError: the extra ``demo`` is not installed.
    """
    # Read by Gradio when it is imported and when the page is made.
    os.environ.update(
        GRADIO_TEMP_DIR=str(uploads.path), GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False",
        GRADIO_SSR_MODE="False", GRADIO_MCP_SERVER="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
    )  # fmt: skip
    try:
        return importlib.import_module("gradio")
    except ImportError:
        raise UserError("The web page needs Gradio: pip install 'fer-tf[demo]'.") from None


def build(workshop: Any, uploads: Uploads, limits: Limits) -> Any:
    """Make the page as an ASGI application, without its guard.

    Args:
        workshop: ``fer_tf.demo.analysis.Workshop``.
        uploads: the folder for uploads.
        limits: what the page says of files' size.

    Raises:
        UserError: the extra ``demo`` is not installed.
    """
    gradio = import_gradio(uploads)
    from fastapi import FastAPI

    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.Markdown(ABOUT.format(minutes=uploads.seconds / 60, megabytes=limits.megabytes))
        names = list(workshop.models)
        model = gradio.Dropdown(
            names, value=names[0], label="Network", filterable=False, visible=len(names) > 1, elem_id="model"
        )
        with gradio.Tab("Photograph"):
            _photograph_tab(gradio, workshop, model)
        with gradio.Tab("Video"):
            _video_tab(gradio, workshop, model)
    blocks.queue(max_size=WAITING, api_open=False)
    theme = gradio.themes.Base(font=SANS, font_mono=MONO)
    return gradio.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None), blocks, "/",
        max_file_size=f"{limits.megabytes * 1e6:.0f}b", footer_links=[], run_history=False, show_error=False,
        enable_monitoring=False, ssr_mode=False, mcp_server=False, pwa=False, theme=theme, css_paths=[STYLE],
    )  # fmt: skip


def _photograph_tab(gradio: ModuleType, workshop: Any, model: Any) -> None:
    from fer_tf.demo import results

    def look(path: str | None, model: str, method: str) -> Result:
        return _told(lambda: workshop.photograph(path, model, method), results.photograph_html,
                     results.photograph_json) if path else (HERE, {})  # fmt: skip

    with gradio.Row():
        with gradio.Column(scale=1, min_width=300):
            picture = _as_it_came(gradio.Image(
                label="Photograph: choose, drop, paste, or take one", sources=["upload", "webcam", "clipboard"],
                type="filepath", image_mode=None, height=320, elem_id="photograph",
                webcam_options=gradio.WebcamOptions(mirror=False),
            ))  # fmt: skip
            method = gradio.Dropdown(list(workshop.methods), label="Heat map", filterable=False, elem_id="method")
        with gradio.Column(scale=2, min_width=300):
            shown = gradio.HTML(HERE, elem_id="photograph-result")
            with gradio.Accordion("As JSON", open=False):
                values = gradio.JSON(show_label=False)
    gradio.on(
        [picture.change, method.change, model.change], look, [picture, model, method], [shown, values],
        api_name="photograph", concurrency_limit=WORKERS, concurrency_id="photograph", trigger_mode="always_last",
    )  # fmt: skip


def _video_tab(gradio: ModuleType, workshop: Any, model: Any) -> None:
    from fer_tf.demo import results

    def follow(path: str | None, model: str, every: float, smooth: float, progress=gradio.Progress()) -> Result:  # noqa: B008
        def tell(count: int) -> None:
            progress((count, None), unit="frames")

        if not path:
            return results.message("Choose a video first."), {}
        every, smooth = min(max(int(every), 1), 100), min(max(float(smooth), 0.0), 10.0)
        return _told(lambda: workshop.video(path, model, every, smooth, tell), results.film_html, results.film_json)

    with gradio.Row():
        with gradio.Column(scale=1, min_width=300):
            video = _as_it_came(gradio.Video(
                label="Video: choose, drop, or record one", sources=["upload", "webcam"], include_audio=False,
                height=320, elem_id="video", webcam_options=gradio.WebcamOptions(mirror=False),
            ))  # fmt: skip
            every = gradio.Slider(1, 25, 5, step=1, label="Every n-th frame")
            smooth = gradio.Slider(0, 3, 0.5, step=0.1, label="Smoothing over seconds")
            start = gradio.Button("Follow the faces", variant="primary", elem_id="follow")
        with gradio.Column(scale=2, min_width=300):
            shown = gradio.HTML(HERE, elem_id="video-result")
            with gradio.Accordion("As JSON", open=False):
                values = gradio.JSON(show_label=False)
    # One at a time, and beside the photographs: a long video keeps nobody from those.
    start.click(
        follow, [video, model, every, smooth], [shown, values], api_name="video", concurrency_limit=1,
        concurrency_id="video",
    )  # fmt: skip


def _as_it_came(component: Any) -> Any:
    """Let a component hand the uploaded file over unopened; ours is the reader that trusts nothing.

    Its own would open pictures of any size and format, and call FFmpeg for videos. A subclass would do as well, but
    Gradio writes a file beside the source of each.
    """
    component.preprocess = lambda payload: payload.path if payload else None
    return component


def _told(work: Callable[[], Any], html: Callable[[Any], str], values: Callable[[Any], dict]) -> Result:
    """Return a result in both its forms, or the line that says why there is none."""
    from fer_tf.demo.results import message

    try:
        found = work()
    except UserError as error:
        return message(f"This file cannot be used: {error}", bad=True), {"error": str(error)}
    return html(found), values(found)
