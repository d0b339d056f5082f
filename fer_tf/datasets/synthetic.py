"""Procedurally drawn faces, so that every path of the project runs without a download."""

from dataclasses import dataclass

import numpy as np

from fer_tf.datasets.drawing import CLEAR, Painter, Scenes, draw_scenes, to_pixels
from fer_tf.datasets.draws import RowDraws, take_rows
from fer_tf.datasets.expressions import Blends, Expressions, action_weights, can_show, valence_arousal
from fer_tf.datasets.geometry import Poses, acts, draw_poses, face_shapes, keep_inside, landmarks
from fer_tf.datasets.people import People, draw_people
from fer_tf.errors import UserError, unknown_name
from fer_tf.facetable import FaceTable, converted
from fer_tf.labels import FERPLUS, LABEL_SETS, MERGED, LabelSet, normalise, one_hot

TAGGERS = 10
SMALLEST, LARGEST = 48, 224
TARGETS = ("hard", "votes")
# Faces are computed in groups of this size, the last one too: array arithmetic of another length may round otherwise.
GROUP = 64
# Twenty people in turn: 14 train, 3 validation, 3 test, spread so that six faces already reach all splits.
SPLIT_TURNS = (("train", "train", "validation", "train", "train", "test", "train") * 3)[:20]

_PEOPLE, _FACES = 0, 1


@dataclass(frozen=True)
class Sitting:
    """N faces before they are painted.

    Attributes:
        blends: what they show.
        poses: how the heads are turned.
        scenes: light, camera, and what covers them.
        side: float (N, 1), −1 or 1, where a one-sided mouth pulls.
        gaze: float (N, 1), shift of the irises in face units.
        votes: int (N, V), the taggers' counts, ``TAGGERS`` a row.
        labels: int (N,), the majority class.
    """

    blends: Blends
    poses: Poses
    scenes: Scenes
    side: np.ndarray
    gaze: np.ndarray
    votes: np.ndarray
    labels: np.ndarray


def load(
    faces: int = 2400,
    size: int = 48,
    channels: int = 1,
    seed: int = 0,
    label_set: str = "fer2013",
    ambiguity: float = 0.35,
    occlusion: float = 0.1,
    identities: int = 120,
    targets: str = "hard",
    skip_bad: bool = False,
) -> FaceTable:
    """Draw faces and let ten simulated taggers vote on each.

    Face i depends on the seed and its number alone: a longer table starts with the shorter one, and another size
    shows the same faces. People appear in turn, and each belongs to one split (of every twenty people: 14 train,
    3 validation, 3 test).

    Args:
        faces: N ≥ 1.
        size: pixels a side, 48 to 224.
        channels: 1 for gray, 3 for RGB.
        seed: ≥ 0.
        label_set: ``"fer2013"`` (7 classes), ``"ferplus"`` (8, with contempt), or that of another dataset of such
            expressions; ``"lfwfer"`` draws FER2013's and converts them by name, which leaves surprised faces out.
        ambiguity: share of faces that blend two expressions, 0 to 1.
        occlusion: share of faces with something in front of the eyes or the mouth, 0 to 1.
        identities: how many people there are, ≥ 6 so that every split has one.
        targets: ``"hard"`` for the majority's one-hot row; on a tie, the class the taggers found likelier. ``"votes"``
            for the share of votes of each class.
        skip_bad: taken for the adapters' common signature; no drawn face is bad.

    Returns:
        A table with images, votes, landmarks (68, iBUG order), boxes, subjects, and valence and arousal: the mean
        place of the votes on the circumplex, made up and not measured. ``votes`` has a column a class;
        for FER+ two more, ``unknown`` and ``NF`` (not a face), as in its label file, so that its rules can be applied
        (arXiv 1608.01041). Votes for those two never enter ``targets``.

    Raises:
        UserError: an option is out of range.
    """
    if label_set in MERGED:
        options = {"size": size, "channels": channels, "ambiguity": ambiguity, "occlusion": occlusion}
        return converted(load(faces, seed=seed, identities=identities, targets=targets, **options), label_set)
    _check_choices(label_set, targets, channels)
    _check_numbers(
        {"faces": (faces, 1, 10**6), "size": (size, SMALLEST, LARGEST), "seed": (seed, 0, 2**63 - 1),
         "identities": (identities, 6, 10**4)},
        {"ambiguity": ambiguity, "occlusion": occlusion},
    )  # fmt: skip
    words = LABEL_SETS[label_set]
    expressions, painter = Expressions(words.classes), Painter(size, channels)
    people = draw_people(RowDraws(seed, _PEOPLE, range(identities)))
    images = np.empty((faces, size, size, channels), np.uint8)
    groups = []
    for start in range(0, faces, GROUP):
        draws = RowDraws(seed, _FACES, range(start, start + GROUP))
        who = take_rows(people, np.arange(start, start + GROUP) % identities)
        sitting = sit(draws, expressions, words, ambiguity, occlusion)
        points, boxes = _paint(who, sitting, painter, draws, images[start : start + GROUP])
        groups.append((sitting.labels, sitting.votes, points, boxes))
    labels, votes, points, boxes = (np.concatenate(column)[:faces] for column in zip(*groups, strict=True))
    voted = normalise(votes[:, : len(words)])
    shares = voted if targets == "votes" else one_hot(labels, len(words))
    subject = np.arange(faces) % identities
    return FaceTable(
        targets=shares, label_set=words, split=np.array(SPLIT_TURNS)[subject % len(SPLIT_TURNS)],
        ids=np.array([f"synthetic{i:06d}" for i in range(faces)]), images=images, votes=votes.astype(np.float32),
        landmarks=points, boxes=boxes, valence_arousal=valence_arousal(voted, words.classes),
        subject=np.array([f"person{k:04d}" for k in subject]),
    )  # fmt: skip


def sit(draws: RowDraws, expressions: Expressions, label_set: LabelSet, ambiguity: float, occlusion: float) -> Sitting:
    """Draw what each face shows and how it is seen, and let the taggers vote."""
    blends = expressions.draw(draws, ambiguity)
    side, gaze = np.where(draws.happens(0.5), 1.0, -1.0), draws.normal(0, 0.012)
    poses, scenes = draw_poses(draws), draw_scenes(draws, occlusion)
    named, likely = expressions.vote(blends.actions, action_weights(scenes.hidden), draws, TAGGERS)
    classes = len(label_set)
    columns = classes
    if label_set is FERPLUS:
        named = _with_unknown(named, draws.uniform(columns=TAGGERS), scenes.hidden, classes)
        columns += 2
    votes = (named[..., None] == np.arange(columns)).sum(axis=1)
    return Sitting(blends, poses, scenes, side, gaze, votes, (votes[:, :classes] + 0.5 * likely).argmax(axis=1))


def _with_unknown(named: np.ndarray, lost: np.ndarray, hidden: np.ndarray, classes: int) -> np.ndarray:
    """Turn some votes (N, T) into ``unknown`` and ``NF``; the first tagger always names an expression."""
    not_a_face = np.where(hidden == CLEAR, 0.002, 0.01)
    unknown = np.where(hidden == CLEAR, 0.03, 0.12)
    lost = np.concatenate([np.ones_like(lost[:, :1]), lost[:, 1:]], axis=1)
    return np.where(lost < not_a_face, classes + 1, np.where(lost < not_a_face + unknown, classes, named))


def _paint(
    who: People, sitting: Sitting, painter: Painter, draws: RowDraws, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a group into ``images``; return landmarks (N, 68, 2) and boxes (N, 4), float32 in pixels."""
    act = acts(sitting.blends.actions)
    shapes = face_shapes(who, act, sitting.side, sitting.gaze)
    marks = landmarks(shapes)
    poses = keep_inside(marks, sitting.poses)
    for row, image in enumerate(painter.paint(who, poses, sitting.scenes, shapes, act, draws, len(images))):
        images[row] = image
    pixels = to_pixels(np.concatenate([marks, shapes["head"]], axis=1), poses, painter.size)
    boxes = np.clip(np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1), 0, painter.size)
    return pixels[:, : marks.shape[1]].astype(np.float32), boxes.astype(np.float32)


def _check_choices(label_set: str, targets: str, channels: int) -> None:
    drawable = [name for name, known in LABEL_SETS.items() if can_show(known.classes)]
    if label_set not in drawable:
        raise unknown_name("label set", label_set, [*drawable, *MERGED])
    if targets not in TARGETS:
        raise unknown_name("kind of targets", targets, TARGETS)
    if channels not in (1, 3):
        raise UserError(f"synthetic: channels is {channels!r}. Expected 1 (gray) or 3 (RGB).")


def _check_numbers(integers: dict[str, tuple[int, int, int]], shares: dict[str, float]) -> None:
    """Refuse integers outside their range (value, low, high) and shares outside 0 to 1."""
    for name, (value, low, high) in integers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise UserError(f"synthetic: {name} is {value!r}. Expected an integer from {low} to {high}.")
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(f"synthetic: {name} is {value!r}. Expected a number from 0 to 1.")
