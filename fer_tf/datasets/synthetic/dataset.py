"""Tables of drawn faces with the votes of ten simulated annotators."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from fer_tf.datasets.ferplus_votes import VotePolicy, voted_table
from fer_tf.datasets.synthetic.geometry import (
    ACTIONS,
    Expressions,
    action_weights,
    can_show,
    draw_poses,
    face_shapes,
    keep_inside,
    landmarks,
    project,
)
from fer_tf.datasets.synthetic.painter import CLEAR, draw_people, draw_scenes, paint
from fer_tf.errors import UserError, unknown_name
from fer_tf.facetable import FaceTable, converted
from fer_tf.labels import FERPLUS, LABEL_SETS, MERGED, normalize, one_hot, valence_arousal

TAGGERS = 10
SMALLEST, LARGEST = 48, 224
TARGETS = ("hard", "votes")
# Faces are drawn in groups of this size, the last one too: each group has a generator of its own, so that a longer
# table begins with the shorter one, and array arithmetic of another length may round otherwise.
_GROUP = 64
# Twenty people in turn: 14 train, 3 validation, 3 test, spread so that six faces already reach all splits.
_SPLIT_TURNS = (("train", "train", "validation", "train", "train", "test", "train") * 3)[:20]
# Random streams of one seed.
_PEOPLE, _FACES, _NOISE, _LABELS = range(4)


def load_synthetic(
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
    """Draw faces and let ten simulated annotators vote on each.

    Face i depends on the seed and its number alone: a longer table starts with the shorter one, and another size shows
    the same faces. People appear in turn, and each belongs to one split (of every twenty people: 14 train, 3
    validation, 3 test).

    Args:
        faces: N ≥ 1.
        size: pixels a side, 48 to 224.
        channels: 1 for gray, 3 for RGB.
        seed: ≥ 0.
        label_set: `"fer2013"` (7 classes), `"ferplus"` (8, with contempt), or that of another dataset of such
            expressions; `"lfwfer"` draws FER2013's and converts them by name, which leaves surprised faces out.
        ambiguity: share of faces that blend two expressions, 0 to 1.
        occlusion: share of faces with something in front of the eyes or the mouth, 0 to 1.
        identities: how many people there are, ≥ 6 so that every split has one.
        targets: `"hard"` for the majority's one-hot row; on a tie, the class the annotators found likelier. `"votes"`
            for the share of votes of each class.
        skip_bad: taken for the adapters' common signature; no drawn face is bad.

    Returns:
        A table with images, votes, landmarks (68, iBUG order), boxes, subjects, and valence and arousal: the mean
        place of the votes on the circumplex, made up and not measured. `votes` has a column a class; for FER+ two
        more, `unknown` and `NF` (not a face), as in its label file, so that its rules can be applied
        (arXiv 1608.01041). Votes for those two never enter `targets`.

    Raises:
        UserError: an option is out of range.

    Example:

    >>> table = load_synthetic(faces=20)
    >>> table.images.shape, table.landmarks.shape, int(table.votes[0].sum())
    ((20, 48, 48, 1), (20, 68, 2), 10)
    """
    if label_set in MERGED:
        options = {"size": size, "channels": channels, "ambiguity": ambiguity, "occlusion": occlusion}
        return converted(load_synthetic(faces, seed=seed, identities=identities, targets=targets, **options), label_set)
    _check_choices(label_set, targets, channels)
    _check_numbers(
        {"faces": (faces, 1, 10**6), "size": (size, SMALLEST, LARGEST), "seed": (seed, 0, 2**63 - 1),
         "identities": (identities, 6, 10**4)},
        {"ambiguity": ambiguity, "occlusion": occlusion},
    )  # fmt: skip
    classes = LABEL_SETS[label_set].classes
    images = np.empty((faces, size, size, channels), np.uint8)
    labels, votes, points, boxes = _draw_into(images, seed, identities, classes, ambiguity, occlusion)
    shares = normalize(votes[:, : len(classes)])
    subject = np.arange(faces) % identities
    return FaceTable(
        targets=shares if targets == "votes" else one_hot(labels, len(classes)), label_set=LABEL_SETS[label_set],
        split=np.array(_SPLIT_TURNS)[subject % len(_SPLIT_TURNS)], images=images, votes=votes.astype(np.float32),
        ids=np.array([f"synthetic{i:06d}" for i in range(faces)]), landmarks=points, boxes=boxes,
        valence_arousal=valence_arousal(shares, classes), subject=np.array([f"person{k:04d}" for k in subject]),
    )  # fmt: skip


def load_synthetic_ferplus(
    faces: int = 2400,
    size: int = 48,
    seed: int = 0,
    mode: str = "majority",
    evaluation: str = "majority",
    labels: str = "votes",
    temperature: float = 1.0,
    skip_bad: bool = False,
) -> FaceTable:
    """Draw faces, let ten simulated annotators vote, and read the votes as FER+ reads them.

    Args:
        faces, size, seed, skip_bad: see `load_synthetic`.
        mode, evaluation, labels, temperature: see `ferplus_votes.VotePolicy`. The single label that stands for
            FER2013's is what one annotator, drawn anew, says: as likely as the votes, contempt left out.

    Returns:
        The faces that the rules keep, with votes, landmarks and the other columns of `load_synthetic`.

    Raises:
        UserError: an option is out of range.

    Example:

    >>> table = load_synthetic_ferplus(faces=20, mode="cross_entropy")
    >>> table.targets.shape[1]
    8
    """
    policy = VotePolicy(mode, evaluation, labels, temperature)
    drawn = load_synthetic(faces=faces, size=size, seed=seed, label_set=FERPLUS.name, skip_bad=skip_bad)
    single = _single_labels(drawn.votes, seed)
    table = voted_table(drawn.images, drawn.ids, drawn.split, drawn.votes.astype(np.int64), policy, single)
    rows = np.flatnonzero(np.isin(drawn.ids, table.ids))
    return replace(drawn.take(rows), targets=table.targets, draw_targets=table.draw_targets)


def _draw_into(
    images: np.ndarray, seed: int, identities: int, classes: tuple[str, ...], ambiguity: float, occlusion: float
) -> list[np.ndarray]:
    """Draw all faces, group by group, and paint them into `images`; return what `_draw_group` returns."""
    people = draw_people(np.random.default_rng((seed, _PEOPLE)), identities)
    groups = []
    for start in range(0, len(images), _GROUP):
        rows = np.arange(start, start + _GROUP) % identities
        who = SimpleNamespace(**{name: column[rows] for name, column in vars(people).items()})
        rngs = [np.random.default_rng((seed, stream, start)) for stream in (_FACES, _NOISE)]
        groups.append(_draw_group(who, classes, ambiguity, occlusion, images[start : start + _GROUP], rngs))
    return [np.concatenate(column)[: len(images)] for column in zip(*groups, strict=True)]


def _draw_group(
    who: SimpleNamespace, classes: tuple[str, ...], ambiguity: float, occlusion: float, images: np.ndarray,
    rngs: list[np.random.Generator],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Draw a group of N faces and paint the first ones into `images`.

    Returns:
        Labels (N,), votes (N, V), landmarks (N, 68, 2) and boxes (N, 4), float32 in pixels.
    """
    rng, noise = rngs
    count, (size, channels) = len(who.skin), images.shape[2:]
    expressions = Expressions(classes)
    blends, poses = expressions.draw(rng, count, ambiguity), draw_poses(rng, count)
    scenes = draw_scenes(rng, count, occlusion)
    side, gaze = rng.choice([-1.0, 1.0], (count, 1)), rng.normal(0, 0.012, (count, 1))
    named, likely = expressions.vote(rng, blends.actions, action_weights(scenes.hidden), TAGGERS)
    columns = len(classes)
    if classes == FERPLUS.classes:
        named = _with_unknown(named, rng.random((count, TAGGERS)), scenes.hidden[:, None], columns)
        columns += 2
    votes = (named[..., None] == np.arange(columns)).sum(axis=1)
    act = dict(zip(ACTIONS, np.split(blends.actions, len(ACTIONS), axis=1), strict=True))
    shapes = face_shapes(who, act, side, gaze)
    marks = landmarks(shapes)
    poses = keep_inside(marks, poses)
    painted = paint(who, scenes, poses, shapes, act, size, channels, noise)
    for image, pixels in zip(images, painted, strict=False):  # the last group may be painted in part
        image[:] = pixels
    pixels = (project(np.concatenate([marks, shapes["head"]], axis=1), poses) + 1) * (0.5 * size)
    boxes = np.clip(np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1), 0, size)
    labels = (votes[:, : len(classes)] + 0.5 * likely).argmax(axis=1)
    return labels, votes, pixels[:, : marks.shape[1]].astype(np.float32), boxes.astype(np.float32)


def _with_unknown(named: np.ndarray, lost: np.ndarray, hidden: np.ndarray, classes: int) -> np.ndarray:
    """Turn some votes (N, T) into `unknown` and `NF`; the first annotator always names an expression."""
    not_a_face, unknown = np.where(hidden == CLEAR, 0.002, 0.01), np.where(hidden == CLEAR, 0.03, 0.12)
    lost[:, 0] = 1
    return np.where(lost < not_a_face, classes + 1, np.where(lost < not_a_face + unknown, classes, named))


def _single_labels(votes: np.ndarray, seed: int) -> np.ndarray:
    """Draw one label a face from votes (N, 10): float32 (N, 8), one-hot."""
    contempt = FERPLUS.index("contempt")  # the last one, which FER2013 lacks
    # A tenth of a vote for each of the others, so that a face that all call contempt has a label.
    bounds = normalize(votes[:, :contempt] + 0.1).cumsum(axis=1)[:, :-1]
    uniform = np.random.default_rng((seed, _LABELS)).random((len(votes), 1))
    return one_hot((bounds < uniform).sum(axis=1), len(FERPLUS))


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
