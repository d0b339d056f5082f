"""Small made-up releases, each in the exact layout in which the dataset is published: one writer a registry row."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
FER_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SFEW_CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
CK_CLASSES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def noise(path: Path, size: tuple[int, int] = (48, 48), mode: str = "L") -> None:
    """Write a picture of noise that depends on its name only; ``size`` is width and height."""
    rng = np.random.default_rng(list(path.name.encode()))
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)


def text(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def square(side: float = 20.0) -> np.ndarray:
    """68 points on a diagonal, from (10, 10) to (10 + side, 10 + side)."""
    return np.stack([np.linspace(10, 10 + side, 68)] * 2, axis=1)


def fer2013(root: Path) -> None:
    pixels = " ".join(["7"] * 2304)
    rows = [f"{i % 7},{pixels},{u}" for i, u in enumerate(["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7)]
    text(root / "fer2013.csv", ["emotion,pixels,Usage", *rows])


def ferplus(root: Path) -> None:
    fer2013(root)
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = []
    for i, usage in enumerate(["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7):
        votes = ["0"] * 10
        votes[i % 8] = "10"
        rows.append(f"{usage},fer{i:07d}.png,{','.join(votes)}")
    text(root / "fer2013new.csv", [f"Usage,Image name,{names}", *rows])


def folder(root: Path) -> None:
    for name in ("smile", "frown"):
        for i in range(10):
            noise(root / name / f"{i}.png")


def csv(root: Path) -> None:
    for i in range(20):
        noise(root / f"{i}.png")
    text(root / "faces.csv", ["path,label", *[f"{i}.png,{'smile' if i % 2 else 'frown'}" for i in range(20)]])


def records(root: Path) -> None:
    from fer_tf.io.tfrecord import RecordWriter, encode_example

    with RecordWriter(root / "faces-00000-of-00001.tfrecord") as file:
        for i in range(20):
            picture, features = BytesIO(), {"id": f"{i}.png", "label": "smile" if i % 2 else "frown", "split": ""}
            Image.fromarray(np.full((48, 48, 3), i, np.uint8)).save(picture, "PNG")
            points = np.arange(10, dtype=np.float32)
            image = {"image": picture.getvalue(), "size": np.array([48]), "face_landmarks": points}
            file.write(encode_example({**features, **image}))


def shards(root: Path) -> None:
    from tempfile import TemporaryDirectory

    from fer_tf.shards import ShardOptions, prepare

    with TemporaryDirectory() as place:
        for i in range(30):
            noise(Path(place) / ("smile" if i % 2 else "frown") / f"{i}.png")
        prepare(place, root, ShardOptions(faces="whole", shard_images=8))


def rafdb(root: Path) -> None:
    """Three training faces and one test face of each of the seven classes, which count from 1."""
    lines = [f"train_{i + 1:05d}.jpg {i % 7 + 1}" for i in range(21)]
    lines += [f"test_{i + 1:04d}.jpg {i + 1}" for i in range(7)]
    text(root / "EmoLabel" / "list_patition_label.txt", lines)
    for line in lines:
        noise(root / "Image" / "aligned" / line.split()[0].replace(".jpg", "_aligned.jpg"), (100, 100), "RGB")


def rafdb_folders(root: Path, lists: bool = True) -> None:
    """The same in class folders, with the CSV lists or without."""
    for split, count in (("train", 21), ("test", 7)):
        rows = [(f"{split}_{i + 1:05d}_aligned.jpg", i % 7 + 1) for i in range(count)]
        for name, label in rows:
            noise(root / "DATASET" / split / str(label) / name, (100, 100), "RGB")
        if lists:
            text(root / f"{split}_labels.csv", ["image,label", *[f"{n},{c}" for n, c in rows]])


def affectnet_row(name: str, expression: int, valence: float = 0.5, arousal: float = -0.25) -> str:
    points = ";".join(f"{v:.2f}" for v in square().ravel())
    return f"{name},10,10,20,20,{points},{expression},{valence},{arousal}"


def affectnet(root: Path, each: int = 2) -> None:
    """Training: two of each of eight classes, the last without affect, one each of 8, 9, 10. Validation: one each."""
    train = [affectnet_row(f"{i % 3}/{i:04x}.jpg", i % 8) for i in range(8 * each - 1)]
    train += [affectnet_row("0/last.jpg", 7, -2, -2)]
    train += [affectnet_row(f"9/u{e}.jpg", e, -2, -2) for e in (8, 9, 10)]
    test = [affectnet_row(f"7/v{i}.jpg", i) for i in range(8)]
    text(root / "Manually_Annotated_file_lists" / "training.csv", [AFFECTNET_HEADER, *train])
    text(root / "Manually_Annotated_file_lists" / "validation.csv", [AFFECTNET_HEADER, *test])
    for row in train + test:
        noise(root / "Manually_Annotated_Images" / row.split(",")[0], (60, 40), "RGB")


def affectnet_npy(root: Path) -> None:
    """The same faces as NumPy annotations: numbers stored as text, as in the release."""
    for name, count in (("train_set", 16), ("val_set", 8)):
        notes = root / name / "annotations"
        notes.mkdir(parents=True)
        for i in range(count):
            noise(root / name / "images" / f"{i}.jpg", (224, 224), "RGB")
            np.save(notes / f"{i}_exp.npy", np.array(str(i % 8)))
            np.save(notes / f"{i}_val.npy", np.array("-2" if i == 15 else "0.5"))
            np.save(notes / f"{i}_aro.npy", np.array("-2" if i == 15 else "-0.25"))
            np.save(notes / f"{i}_lnd.npy", square().ravel())


def ckplus(root: Path, people: int = 14, frames: int = 6) -> None:
    """One labeled sequence a person, classes in turn from 1 to 7, and for each a second one without a label."""
    for p in range(people):
        who, last = f"S{p + 5:03d}", f"{frames:08d}"
        for sequence in ("001", "002"):
            for i in range(1, frames + 1):
                stem = f"{who}_{sequence}_{i:08d}"
                noise(root / "cohn-kanade-images" / who / sequence / f"{stem}.png", (64, 49))
                marks = [f"   {x:.7e}   {y:.7e}" for x, y in square()]
                text(root / "Landmarks" / who / sequence / f"{stem}_landmarks.txt", marks)
            (root / "Emotion" / who / sequence).mkdir(parents=True)
        text(root / "Emotion" / who / "001" / f"{who}_001_{last}_emotion.txt", [f"   {p % 7 + 1:.7e}"])


def ckplus_folders(root: Path, people: int = 14) -> None:
    for p in range(people):
        for i in range(3):
            noise(root / "CK+48" / CK_CLASSES[p % 7] / f"S{p + 10:03d}_004_{i + 17:08d}.png")


def ckplus_csv(root: Path) -> None:
    usages = ["Training"] * 16 + ["PublicTest"] * 8 + ["PrivateTest"] * 8
    rows = [f"{i % 8},{' '.join([str(i)] * 2304)},{usage}" for i, usage in enumerate(usages)]
    text(root / "ckextended.csv", ["emotion,pixels,Usage", *rows])


def sfew(root: Path) -> None:
    """Five films of two stills a class for training, and one for validation."""
    for i, name in enumerate(SFEW_CLASSES):
        for film in range(5):
            for frame in range(2):
                still = f"Film_{film}_{1000 * i + frame:09d}_{frame:08d}.png"
                noise(root / "Train_Aligned_Faces" / name / still, (143, 181), "RGB")
        noise(root / "Val_Aligned_Faces" / name / f"Airheads_{i:09d}_00000005.png", (143, 181), "RGB")


def lfwfer(root: Path) -> None:
    """Sixty people in each part; every third of them is in both published folders."""
    for part in ("LFW-FER", "M-LFW-FER", "M-LFW-FER-face-cut"):
        for i in range(60):
            name = ("negative", "neutral", "positive")[i % 3]
            noise(root / part / "train" / name / f"Ann_{chr(65 + i % 26)}{i}_0001.jpg", (40, 40), "RGB")
            if i % 3 == 0:
                noise(root / part / "eval" / name / f"Ann_{chr(65 + i % 26)}{i}_0002.jpg", (40, 40), "RGB")
        for name in ("neutral", "positive"):
            noise(root / part / "eval" / name / f"Bob_{name.title()}_0001.jpg", (40, 40), "RGB")


WRITERS: Mapping[str, Callable[[Path], None]] = {
    "fer2013": fer2013, "ferplus": ferplus, "folder": folder, "csv": csv, "records": records, "shards": shards,
    "rafdb": rafdb, "affectnet": lambda root: affectnet(root, each=3), "ckplus": ckplus, "sfew": sfew, "lfwfer": lfwfer,
}  # fmt: skip
