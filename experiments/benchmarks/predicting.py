"""Predict expressions of photographs, faces and videos, beside PyPI fer.

Pictures are made of portraits that scikit-image and matplotlib bring along, moved and scaled. fer's Video asks a window
for keys at every frame; there is none, so that is left out.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import Work

# Job → what it is, how many of which unit it has, and how many times fer's speed is wanted.
JOBS = {
    "photograph": ("6 photographs of 640 px, one by one, from file", 6, "photograph", 2.0),
    "64 photographs": ("64 photographs of 640 px in one call, from file", 64, "photograph", 3.0),
    "64 photographs fast": ("the same, ours with fast=True", 64, "photograph", 3.0),
    "crowd": ("one photograph of 64 faces (1,600 px), from file", 64, "face", 3.0),
    "cut out": ("64 faces that are cut out (48 px), in one call", 64, "face", 3.0),
    "cut out fast": ("the same, ours with fast=True", 64, "face", 3.0),
    "video 720p": ("a video of 1280×720, from file to distributions", 60, "frame", 5.0),
    "video 480p": ("a video of 640×480, from file to distributions", 60, "frame", 5.0),
    "annotated": ("a video of 1280×720, from file to an annotated one", 60, "frame", None),
    "network": ("the network alone, batch 1, 50 times", 50, "call", None),
    "network tflite": ("our network as TFLite beside theirs, batch 1, 50 times", 50, "call", None),
}


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Write what the jobs read."""
    import av
    import matplotlib
    import skimage.data
    from PIL import Image

    astronaut = Image.fromarray(skimage.data.astronaut()[:300, 60:400])
    hopper = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")

    def scene(width: int, height: int, step: int) -> Image.Image:
        """Show both portraits on gray; they grow and move from step to step."""
        picture = Image.new("RGB", (width, height), (96, 104, 112))
        side = int(height * (0.5 + 0.004 * (step % 60)))
        picture.paste(astronaut.resize((side * 340 // 300, side)), (step % 60, height // 10))
        picture.paste(hopper.resize((side * 5 // 8, side * 3 // 4)), (width * 5 // 8, height // 20 + step % 40))
        return picture

    crowd, portrait = Image.new("RGB", (1600, 1600)), astronaut.crop((70, 0, 270, 200))
    for i in range(64):
        scene(640, 480, i).save(folder / f"photo{i:02d}.jpg", quality=92)
        crowd.paste(portrait, (200 * (i % 8), 200 * (i // 8)))
    crowd.save(folder / "crowd.jpg", quality=92)
    face = np.asarray(astronaut.crop((110, 50, 220, 160)).resize((48, 48)))
    np.save(folder / "faces.npy", np.stack([np.roll(face, i % 5, axis=1) for i in range(64)]))
    for name, width, height in (("720p", 1280, 720), ("480p", 640, 480)):
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for i in range(60):
                container.mux(stream.encode(av.VideoFrame.from_image(scene(width, height, i))))
            container.mux(stream.encode())


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return our ways to do the jobs; each returns how many faces it found."""
    import fer_tf
    from fer_tf.inference.annotation import Annotator
    from fer_tf.inference.classifier import ExpressionClassifier
    from fer_tf.inference.pipeline import FacePipeline
    from fer_tf.inference.tracking import tracked
    from fer_tf.models.complexity import LiteRTRunner
    from fer_tf.serving import devices

    photographs, faces = sorted(map(str, folder.glob("photo*.jpg"))), np.load(folder / "faces.npy")
    fer_tf.predict(faces[:1])
    classifier, pipeline = ExpressionClassifier("default"), FacePipeline("default")
    face = devices.example_faces(classifier)[:1]
    network, litert = devices.face_function(classifier), LiteRTRunner(devices.convert_litert(classifier))

    def annotate() -> int:
        with Annotator(folder / "drawn", {}, pipeline.label_set) as writer:
            found = 0
            for result in tracked(pipeline.analyze([(folder / "720p.mp4", "720p.mp4")])):
                writer.add(result)
                found += len(result.faces)
        return found

    return {
        "photograph": lambda: sum(len(fer_tf.analyze(p)) for p in photographs[::11]),
        "64 photographs": lambda: len(fer_tf.analyze(photographs)),
        "64 photographs fast": lambda: len(fer_tf.analyze(photographs, fast=True)),
        "crowd": lambda: len(fer_tf.analyze(folder / "crowd.jpg")),
        "cut out": lambda: len(fer_tf.predict(faces)),
        "cut out fast": lambda: len(fer_tf.predict(faces, fast=True)),
        "video 720p": lambda: len(fer_tf.analyze(folder / "720p.mp4")),
        "video 480p": lambda: len(fer_tf.analyze(folder / "480p.mp4")),
        "annotated": annotate,
        "network": lambda: len([network(face)["probabilities"].numpy() for _ in range(50)]),
        "network tflite": lambda: len([litert({"faces": face}) for _ in range(50)]),
    }


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return fer's ways to do the jobs, with the defaults of its public interface."""
    import logging

    import cv2

    logging.disable(logging.CRITICAL)
    cv2.waitKey = lambda *_: -1
    from fer.classes import Video
    from fer.fer import FER

    detector, photographs = FER(), sorted(map(str, folder.glob("photo*.jpg")))
    # One picture of all faces, and where they are: the only way to hand it many faces in a call.
    canvas = np.concatenate(list(np.load(folder / "faces.npy")[..., ::-1]), axis=1)
    places = [(48 * i, 0, 48, 48) for i in range(64)]
    face = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)

    def video(name: str, annotate: bool = False) -> int:
        found = Video(str(folder / f"{name}.mp4"), outdir=str(folder / "theirs")).analyze(
            detector, save_frames=False, save_video=annotate, annotate_frames=annotate, zip_images=False
        )
        # A row a frame, eight columns a face.
        return sum(len(row) // 8 for row in found)

    jobs = {
        "photograph": lambda: sum(len(detector.detect_emotions(p)) for p in photographs[::11]),
        "64 photographs": lambda: sum(map(len, detector.batch_detect_emotions(photographs))),
        "crowd": lambda: len(detector.detect_emotions(str(folder / "crowd.jpg"))),
        "cut out": lambda: len(detector.detect_emotions(canvas, places)),
        "video 720p": lambda: video("720p"), "video 480p": lambda: video("480p"),
        "annotated": lambda: video("720p", True),
        "network": lambda: len([detector._classify_emotions(face) for _ in range(50)]),
    }  # fmt: skip
    same = {"64 photographs fast": "64 photographs", "cut out fast": "cut out", "network tflite": "network"}
    return {**jobs, **{name: jobs[other] for name, other in same.items()}}
