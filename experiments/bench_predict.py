"""How fast do photographs, faces and videos become expressions, beside PyPI fer on the same files?

  python3 -m venv ferenv && ferenv/bin/pip install -r experiments/requirements-fer.txt
  ferenv/bin/pip install --no-deps fer==25.10.3
  python experiments/bench_predict.py --fer-python ferenv/bin/python       5 rounds, 10 minutes on 2 quiet cores
  python experiments/bench_predict.py --fer-python ferenv/bin/python --quick                   a look, 3 minutes

Each package runs in a process of its own, its networks loaded and every job done once before; then the jobs go in
rounds, ours and theirs one right after the other. Pictures are made of the astronaut (scikit-image) and the portrait
that matplotlib brings along, moved and scaled. Given are medians in milliseconds a picture, face or frame, and medians
of the rounds' ratios theirs ÷ ours: by the clock, and by the processor time that all threads of each took. The first is
what is waited for; fer keeps one core busy, ours all of them, so that the second is smaller. Thresholds, by the clock:
a photograph of 640 pixels in at most half of fer's time, 64 faces at 3 times its speed, videos at 5 times. Exit code 1
when one is missed. fer's Video asks a window for keys at every frame; there is none, so that is left out. Figures:
experiments/results/bench_predict.md.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.worker import JobFailed, Worker, serve

# Job → what it is, how many pictures, faces or frames it has, and how many times fer's speed is wanted.
JOBS = {
    "photograph": ("6 photographs of 640 px, one by one, from file", 6, 2.0),
    "64 photographs": ("64 photographs of 640 px in one call, from file", 64, 3.0),
    "64 photographs fast": ("the same, ours with fast=True", 64, 3.0),
    "crowd": ("one photograph of 64 faces (1,600 px), from file", 64, 3.0),
    "cut out": ("64 faces that are cut out (48 px), in one call", 64, 3.0),
    "cut out fast": ("the same, ours with fast=True", 64, 3.0),
    "video 720p": ("a video of 1280×720, from file to distributions", 60, 5.0),
    "video 480p": ("a video of 640×480, from file to distributions", 60, 5.0),
    "annotated": ("a video of 1280×720, from file to an annotated one", 60, 0.0),
    "network": ("the network alone, batch 1, 50 times", 50, 0.0),
    "network tflite": ("our network as TFLite beside theirs, batch 1, 50 times", 50, 0.0),
}
Work = dict[str, Callable[[], object]]


def write_files(folder: Path) -> None:
    """Write what the jobs read."""
    import av
    import matplotlib
    import numpy as np
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

    for i in range(64):
        scene(640, 480, i).save(folder / f"photo{i:02d}.jpg", quality=92)
    crowd = Image.new("RGB", (1600, 1600))
    for i in range(64):
        crowd.paste(astronaut.crop((70, 0, 270, 200)).resize((200, 200)), (200 * (i % 8), 200 * (i // 8)))
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


def use_one_dnn() -> None:
    """Set what TensorFlow reads when it starts, as `python -m fer_tf.predict` does; for fer, too."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def our_work(folder: Path) -> Work:
    """Return our ways to do the jobs; each returns how many faces it found."""
    use_one_dnn()
    import numpy as np

    import fer_tf
    from fer_tf.inference import annotation, api
    from fer_tf.inference.tracking import tracked

    photographs = [str(folder / f"photo{i:02d}.jpg") for i in range(64)]
    faces = np.load(folder / "faces.npy")
    fer_tf.predict(faces[:1])
    reader = api.classifier(api._key("default"), False)
    network, network_tflite = _networks(reader, faces[:1])

    def annotate() -> int:
        pipeline = api._pipeline(api._key("default"), None, "all", False)
        with annotation.Annotator(folder / "drawn", {}, pipeline.label_set) as writer:
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
        "network": lambda: [network() for _ in range(50)] and 50,
        "network tflite": lambda: [network_tflite() for _ in range(50)] and 50,
    }


def _networks(reader, face) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return calls of the network on one prepared face: compiled, and as TFLite (float32)."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    prepared = reader.prepare(tf.constant(face))
    call = tf.function(
        lambda x: tf.nn.softmax(reader.logits(x)), input_signature=[tf.TensorSpec(prepared.shape)], autograph=False
    ).get_concrete_function()
    frozen = convert_variables_to_constants_v2(call)
    interpreter = tf.lite.Interpreter(
        model_content=tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert(), num_threads=2
    )
    interpreter.allocate_tensors()
    given, found = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def through_tflite() -> np.ndarray:
        interpreter.set_tensor(given, prepared.numpy())
        interpreter.invoke()
        return interpreter.get_tensor(found)

    np.testing.assert_allclose(through_tflite(), call(prepared).numpy(), atol=1e-4)
    return lambda: call(prepared).numpy(), through_tflite


def their_work(folder: Path) -> Work:
    """Return fer's ways to do the jobs, with the defaults of its public interface."""
    use_one_dnn()
    import logging

    import cv2
    import numpy as np

    logging.disable(logging.CRITICAL)
    cv2.waitKey = lambda *_: -1
    from fer.classes import Video
    from fer.fer import FER

    detector = FER()
    photographs = [str(folder / f"photo{i:02d}.jpg") for i in range(64)]
    # One picture of all faces, and where they are: the only way to hand it many faces in a call.
    canvas = np.concatenate(list(np.load(folder / "faces.npy")[..., ::-1]), axis=1)
    places = [(48 * i, 0, 48, 48) for i in range(64)]
    face = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)

    def video(name: str, annotate: bool) -> int:
        found = Video(str(folder / f"{name}.mp4"), outdir=str(folder / "theirs")).analyze(
            detector, save_frames=False, save_video=annotate, annotate_frames=annotate, zip_images=False
        )
        # A row a frame, eight columns a face.
        return sum(len(row) // 8 for row in found)

    def many() -> int:
        return sum(map(len, detector.batch_detect_emotions(photographs)))

    def cut_out() -> int:
        return len(detector.detect_emotions(canvas, places))

    return {
        "photograph": lambda: sum(len(detector.detect_emotions(p)) for p in photographs[::11]),
        "64 photographs": many,
        "64 photographs fast": many,
        "crowd": lambda: len(detector.detect_emotions(str(folder / "crowd.jpg"))),
        "cut out": cut_out,
        "cut out fast": cut_out,
        "video 720p": lambda: video("720p", False),
        "video 480p": lambda: video("480p", False),
        "annotated": lambda: video("720p", True),
        "network": lambda: [detector._classify_emotions(face) for _ in range(50)] and 50,
        "network tflite": lambda: [detector._classify_emotions(face) for _ in range(50)] and 50,
    }


def worker(python: str, who: str, folder: Path) -> Worker:
    """Start a package in a process of its own; fer leaves a data.csv where it runs."""
    command = [python, str(Path(__file__).resolve()), "--work", who, str(folder)]
    return Worker(command, folder, folder / f"{who}.log")


def measure(python: str, rounds: int, wanted: list[str]) -> dict[str, dict[str, float]]:
    """Return for each job milliseconds of both (a picture, face or frame), ratios and faces found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        workers = [worker(p, who, folder) for p, who in ((sys.executable, "ours"), (python, "theirs"))]
        found = {}
        for job in wanted:
            first = [do(job) for do in workers]
            times = [[do(job)[:2] for do in workers] for _ in range(rounds)]
            per = 1000 / JOBS[job][1]
            found[job] = {
                "ours ms": per * median(t[0][0] for t in times), "theirs ms": per * median(t[1][0] for t in times),
                "clock ratio": median(t[1][0] / t[0][0] for t in times),
                "processor ratio": median(t[1][1] / max(t[0][1], 1e-9) for t in times),
                "our faces": first[0][2], "their faces": first[1][2],
            }  # fmt: skip
        for do in workers:
            do.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer-python", metavar="FILE", help="Python of an environment that has fer")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--only", action="append", choices=JOBS, metavar="JOB", help=f"one of: {', '.join(JOBS)}")
    parser.add_argument("--out", type=Path, help="write the figures into this JSON file")
    parser.add_argument("--work", nargs=2, metavar=("WHO", "DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        who, folder = options.work
        serve(lambda: {"ours": our_work, "theirs": their_work}[who](Path(folder)))
        return 0
    if not options.fer_python:
        parser.error("--fer-python is needed: the Python of an environment that has fer (see above)")
    try:
        found = measure(options.fer_python, 1 if options.quick else options.rounds, options.only or list(JOBS))
    except JobFailed as error:
        sys.exit(f"error: {error}")
    print(f"{'':55s} {'ours':>9s} {'fer':>9s}  clock  proc.  wanted  faces ours/fer")
    for job, row in found.items():
        text, _, wish = JOBS[job]
        faces = f"{row['our faces']}/{row['their faces']}"
        print(f"{text:55s} {row['ours ms']:6.2f} ms {row['theirs ms']:6.2f} ms {row['clock ratio']:6.2f} "
              f"{row['processor ratio']:6.2f} {wish or '':>7}  {faces}")  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(row["clock ratio"] < JOBS[job][2] for job, row in found.items()))


if __name__ == "__main__":
    sys.exit(main())
