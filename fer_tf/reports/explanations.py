"""Draw figures of heat maps."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fer_tf import explain
from fer_tf.reports.figures import COLORS, INK, PALE

# Grows steadily lighter, so that it reads in gray and with every kind of color vision. Its pale end is left out.
COLORMAP, BRIGHTEST = "inferno", 0.87
# How much of the hottest pixel is color; the rest, and all of the coldest one, is the face.
HOT = 0.7
# More pixels than this along a photograph's longer side cannot be seen in a figure, and take seconds.
LONGEST = 1200
# Beside a photograph that is not wide there is room for so many faces; more go below it, so many in a row.
BESIDE, WIDE = 3, 1.2
ACROSS = 3
# Of a montage's faces in one figure.
PAGE = 100
SMALL = 8.5


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a heat map over a face: the hotter, the more color and the less face.

    Args:
        image: uint8 (S, S, 3).
        heat: float (H, W) in [0, 1]; enlarged to the image (bilinear).

    Returns:
        uint8 (S, S, 3).
    """
    gray = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., None] / 255
    layer = Image.fromarray(np.asarray(heat, np.float32)).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    large = np.clip(np.asarray(layer), 0, 1)
    share = HOT * large[..., None]
    color = matplotlib.colormaps[COLORMAP](BRIGHTEST * large)[..., :3]
    return np.rint(255 * (share * color + (1 - share) * gray)).astype(np.uint8)


def explanation(
    photograph: np.ndarray,
    faces: "Sequence[explain.pictures.FaceView]",
    classes: Sequence[str],
    method: str,
    title: str = "",
) -> Figure:
    """Draw a photograph with its faces' boxes, each face's heat map, and its distribution as bars.

    Args:
        photograph: uint8 (H, W, 3).
        faces: at least one; with several, boxes and maps carry the same numbers.
        classes: C names.
        method: whose maps they are.
        title: of the photograph.
    """
    aspect = photograph.shape[1] / photograph.shape[0]
    beside = len(faces) == 1 or (len(faces) <= BESIDE and aspect <= WIDE)
    across = 1 if beside else min(ACROSS, len(faces))
    down = -(-len(faces) // across)
    high = max(2.6, 0.9 + 0.19 * len(classes)) * down
    if beside:
        height = max(3.2, high)
        # As wide as the photograph becomes at this height.
        width = float(np.clip(height * aspect, 2.4, 5.6))
        figure = Figure(figsize=(width + 6.2, height), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(width, 6.2))
    else:
        height = float(np.clip(4.4 * across / aspect, 2.0, 6.0))
        figure = Figure(figsize=(4.4 * across, height + high), layout="constrained")
        left, right = figure.subfigures(2, 1, height_ratios=(height, high))
    _photograph(left.subplots(), photograph, faces, title)
    cells = right.subplots(down, 2 * across, squeeze=False, width_ratios=(1, 1.15) * across).reshape(-1, 2)
    for number, (face_axes, bar_axes) in enumerate(cells):
        if number >= len(faces):
            face_axes.set_axis_off(), bar_axes.set_axis_off()
            continue
        face = faces[number]
        _face(face_axes, face, " of ".join(p for p in (method, face.explained) if p), _label(number, faces))
        _bars(bar_axes, face, classes)
    return figure


def montage(
    faces: "Sequence[explain.pictures.FaceView]", classes: Sequence[str], method: str, columns: int | None = None
) -> Figure:
    """Draw many faces with their heat maps as a grid; below each its most probable class, and its name.

    Args:
        faces: at least one.
        classes: C names.
        method: whose maps they are.
        columns: faces in a row; ``None`` makes the grid about as wide as high.
    """
    columns = min(len(faces), columns or int(np.ceil(np.sqrt(len(faces)))))
    rows = -(-len(faces) // columns)
    figure = Figure(figsize=(max(2.6, 1.5 * columns), 0.4 + 1.82 * rows), layout="constrained")
    explained = {face.explained for face in faces}
    of = f" of {explained.pop()}" if len(explained) == 1 and "" not in explained else ""
    figure.suptitle(f"{method}{of}", fontsize=10, color=INK, x=0.01, ha="left")
    for axes in figure.subplots(rows, columns, squeeze=False).ravel()[len(faces) :]:
        axes.set_axis_off()
    for axes, face in zip(figure.axes, faces, strict=False):
        _image(axes, overlay(face.image, face.heat))
        best = int(np.argmax(face.probabilities))
        axes.set_xlabel(f"{classes[best]} {face.probabilities[best]:.0%}\n{_short(face.name, 22)}", fontsize=7,
                        color=INK, labelpad=2)  # fmt: skip
    return figure


def faithfulness(
    curves: Mapping[str, "explain.faithfulness.Curves"], right: np.ndarray, controls: Sequence[str] = ()
) -> Figure:
    """Draw mean deletion and insertion curves, of right and of wrong predictions.

    Args:
        curves: by method, of N faces each.
        right: bool (N,), which faces are predicted right.
        controls: names among ``curves`` that are no methods; drawn gray and dashed.
    """
    figure = Figure(figsize=(9.5, 7), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for across, (which, chosen) in enumerate((("right", right), ("wrong", ~right))):
        for down, part in enumerate(("deletion", "insertion")):
            axes, colored = grid[down, across], iter(COLORS)
            for name, found in curves.items():
                values = getattr(found, part)[chosen]
                share = np.linspace(0, 100, values.shape[1])
                gray = next((s for c, s in zip(controls, ("--", ":"), strict=False) if c == name), None)
                style = {"color": INK, "ls": gray, "lw": 1.3} if gray else {"color": next(colored), "lw": 1.8}
                if len(values):
                    axes.plot(share, 100 * values.mean(axis=0), label=name, **style)
            axes.set_title(f"{part}, {chosen.sum()} {which} predictions", fontsize=10, loc="left", color=INK)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#e8eaed", lw=0.7)
        grid[1, across].set_xlabel("pixels replaced, hottest first, %")
    for axes in grid[:, 0]:
        axes.set_ylabel("probability of the predicted class, %")
    grid[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _photograph(axes: Axes, photograph: np.ndarray, faces: "Sequence[explain.pictures.FaceView]", title: str) -> None:
    height, width = photograph.shape[:2]
    small = Image.fromarray(photograph)
    small.thumbnail((LONGEST, LONGEST))
    _image(axes, np.asarray(small), extent=(0, width, height, 0))
    axes.set_anchor("NW")
    axes.set_title(_short(title, 48), fontsize=10, loc="left", color=INK)
    for number, face in enumerate(faces):
        if face.box is None:
            continue
        x0, y0, x1, y1 = face.box
        for color, thick in (("white", 3.2), (COLORS[0], 1.8)):
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, lw=thick))
        if label := _label(number, faces):
            axes.text(np.clip(x0, 0, width), np.clip(y0, 0, height), label, fontsize=SMALL, color="white",
                      va="bottom", ha="left", clip_on=True,
                      bbox={"facecolor": COLORS[0], "edgecolor": "white", "lw": 0.7, "pad": 1.6})  # fmt: skip


def _face(axes: Axes, face: "explain.pictures.FaceView", title: str, label: str) -> None:
    _image(axes, overlay(face.image, face.heat))
    axes.set_title(f"{label}  {title}".strip(), fontsize=SMALL + 0.5, loc="left", color=INK)
    if not face.heat.any():
        axes.set_xlabel("nothing speaks for this class", fontsize=SMALL, color=INK)


def _bars(axes: Axes, face: "explain.pictures.FaceView", classes: Sequence[str]) -> None:
    percent = 100 * np.asarray(face.probabilities, float)
    best = int(percent.argmax())
    marked = face.explained or classes[best]
    axes.barh(range(len(classes)), percent, color=[COLORS[0] if c == marked else PALE for c in classes], height=0.68)
    for i, value in enumerate(percent):
        axes.text(value + 1.5, i, f"{value:.1f}", va="center", fontsize=SMALL - 1, color=INK,
                  fontweight="bold" if i == best else "normal")  # fmt: skip
    axes.set_yticks(range(len(classes)), classes, fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xticks([])
    axes.set_title("probability, %", fontsize=SMALL + 0.5, loc="left", color=INK)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(PALE)


def _image(axes: Axes, image: np.ndarray, **options) -> None:
    axes.imshow(image, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _label(number: int, faces: "Sequence[explain.pictures.FaceView]") -> str:
    return str(number + 1) if len(faces) > 1 else ""


def _short(name: str, longest: int) -> str:
    """Cut a name in the middle; what is no text, and what mathematics would be made of, is replaced."""
    name = name.encode("utf-8", "replace").decode().replace("$", "＄")
    return name if len(name) <= longest else f"{name[: longest // 2 - 1]}…{name[-(longest - longest // 2) :]}"
