"""Corruption by a drawn mask, worn ever higher: below the mouth, below the nose, as it should be."""

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces.masks import MASKS, fit_head, put_mask, wearable
from fer_tf.faces.masks.head_pose import FIVE
from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

# Up to this height, pictures whose masks are painted finer than this cannot be told apart.
SMALL, FINE = 64, 3


def mask(faces: Faces, drop: float, kind: str | None = None) -> np.ndarray:
    """Draw a mask on each face that hangs ``drop`` eye distances below where it belongs.

    Kind, colour and folds are drawn for each face and stay the same at all severities. Unlike those of the other
    corruptions, the bits depend on the machine's linear algebra and mathematical library: single levels may differ by
    one.

    Args:
        faces: with landmarks that ``wearable`` finds good.
        drop: 0 is worn as it should be; from about 0.5 on the nose is free, from 0.8 the mouth.
        kind: call string of a mask of ``fer_tf.faces.masks``; ``None`` draws surgical, cloth or n95.

    Raises:
        UserError: a face without landmarks.
    """
    if faces.landmarks is None or not wearable(faces.landmarks).all():
        raise UserError("A mask needs the landmarks of every face. Leave faces without out; see wearable.")
    names, fine = sorted(MASKS), FINE if faces.images.shape[1] <= SMALL else None
    out = np.empty_like(faces.images)
    for i, (image, points, numbers) in enumerate(
        zip(faces.images, faces.landmarks, draws.words(faces.streams, 2), strict=True)
    ):
        worn = kind or names[int(numbers[0]) % len(names)]
        down = fit_head(points).camera[:, 1] * drop
        out[i] = put_mask(image, points + down, worn, seed=int(numbers[1]), fine=fine).image
    return out


def canonical_landmarks(count: int, size: tuple[int, int]) -> np.ndarray:
    """Return five points where FER2013's faces have them in the median, float32 (count, 5, 2).

    Args:
        count: N.
        size: height and width of the pictures in pixels.
    """
    # Here, since it brings Keras, of which corruptions have no need.
    from fer_tf.faces.frames import EYE_DISTANCE, EYE_LINE

    points = FIVE[:, :2] * EYE_DISTANCE + (0.5, EYE_LINE)
    return np.tile(np.float32(points * size[::-1]), (count, 1, 1))
