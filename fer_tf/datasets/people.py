"""Who is drawn: the lengths, colours and clothing of a person's head."""

from dataclasses import dataclass

import numpy as np

from fer_tf.datasets.draws import RowDraws

BALD, SHORT, FRINGE, PARTED, LONG = range(5)
BEARDS = np.array([0.0, 0.35, 0.8])
HAIR = np.array([[28, 22, 20], [72, 46, 30], [122, 84, 48], [186, 150, 96], [150, 148, 146]])
IRIS = np.array([[62, 40, 24], [84, 62, 34], [74, 100, 66], [82, 116, 146]])


@dataclass(frozen=True)
class People:
    """N persons: lengths in face units (N, 1), colours as RGB (N, 3), and what they wear.

    ``hair_style`` is one of ``BALD`` to ``LONG``; ``beard`` runs from 0 (none) to 1 (full colour).
    """

    width: np.ndarray
    chin: np.ndarray
    squareness: np.ndarray
    taper: np.ndarray
    brow_thickness: np.ndarray
    brow_height: np.ndarray
    brow_arch: np.ndarray
    eye_spacing: np.ndarray
    eye_width: np.ndarray
    eye_height: np.ndarray
    eye_tilt: np.ndarray
    nose_width: np.ndarray
    nose_length: np.ndarray
    mouth_width: np.ndarray
    mouth_height: np.ndarray
    lip_thickness: np.ndarray
    hairline: np.ndarray
    hair_style: np.ndarray
    beard: np.ndarray
    glasses: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray


def draw_people(draws: RowDraws) -> People:
    """Draw N persons."""
    u = draws.uniform
    melanin = u() ** 1.4
    dark = melanin > 0.45
    hair = draws.choice(np.where(dark, (0.8, 0.1, 0, 0, 0.1), (0.25, 0.3, 0.2, 0.15, 0.1)))
    iris = draws.choice(np.where(dark, (0.85, 0.15, 0, 0), (0.4, 0.2, 0.15, 0.25)))
    return People(
        width=u(0.62, 0.73), chin=u(0.88, 0.98), squareness=u(1.9, 2.6), taper=u(0.0, 0.22),
        brow_thickness=u(0.05, 0.105), brow_height=u(0.18, 0.23), brow_arch=u(0.015, 0.06),
        eye_spacing=u(0.275, 0.32), eye_width=u(0.13, 0.165), eye_height=u(0.064, 0.09), eye_tilt=u(-0.025, 0.012),
        nose_width=u(0.12, 0.18), nose_length=u(-0.04, 0.04),
        mouth_width=u(0.23, 0.3), mouth_height=u(-0.02, 0.03), lip_thickness=u(0.05, 0.095), hairline=u(-0.8, -0.64),
        hair_style=draws.choice((0.08, 0.3, 0.2, 0.2, 0.22)), beard=BEARDS[draws.choice((0.7, 0.15, 0.15))],
        glasses=draws.happens(0.15), skin=np.array([238, 202, 178]) + melanin * np.array([-130, -132, -128]),
        hair=HAIR[hair[:, 0]], iris=IRIS[iris[:, 0]],
    )  # fmt: skip
