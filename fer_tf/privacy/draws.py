"""Which faces are audited, and how they are halved."""

import numpy as np

from fer_tf.errors import UserError


def balanced(labels: np.ndarray, member: np.ndarray, most: int | None = None, seed: int = 0) -> np.ndarray:
    """Choose as many members as non-members of every class.

    Otherwise an attack could live on classes that are commoner on one side.

    Args:
        labels: int (N,).
        member: bool (N,).
        most: about how many a side at most; every class keeps at least one. ``None`` for all there are.
        seed: of the draw.

    Returns:
        Rows, int (M,), in ascending order.

    Raises:
        UserError: no class has faces on both sides.
    """
    rng = np.random.default_rng([seed, 0xBA1A])
    sides = [np.bincount(labels[member == side], minlength=labels.max() + 1) for side in (True, False)]
    wanted = np.minimum(*sides)
    if not wanted.any():
        raise UserError("No class has both members and non-members. Expected faces of the same classes on both sides.")
    if most is not None and wanted.sum() > most:
        wanted = np.where(wanted > 0, np.maximum(wanted * most // wanted.sum(), 1), 0)
    chosen = [
        rng.permutation(np.flatnonzero((labels == label) & (member == side)))[:count]
        for label, count in enumerate(wanted)
        for side in (True, False)
    ]
    return np.sort(np.concatenate(chosen))


def halves(strata: np.ndarray, seed: int = 0) -> np.ndarray:
    """Halve rows so that each stratum, and each run of neighbouring ones, differs by at most one.

    Args:
        strata: int (N,).
        seed: another seed, other halves.

    Returns:
        bool (N,), true for one half.
    """
    rng = np.random.default_rng([seed, 0x4A1F])
    order = np.lexsort((rng.random(len(strata)), strata))
    half = np.empty(len(strata), bool)
    half[order] = np.arange(len(strata)) % 2 == 0
    return half


def audit_halves(labels: np.ndarray, member: np.ndarray, seed: int = 0) -> np.ndarray:
    """Halve the audited faces, classes and sides alike; bool (N,)."""
    return halves(member * (labels.max() + 1) + labels, seed)


def halves_of(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return which faces each shadow model is trained on, bool (S, N).

    They come in pairs that share all faces between them, stratified by class, so that every face has half of the
    models on either side.

    Raises:
        UserError: an odd number of models, or none.
    """
    if count < 2 or count % 2:
        raise UserError(
            f"{count} shadow models. Expected an even number from 2 on: pairs share the faces between them."
        )
    first = [halves(labels, seed + pair) for pair in range(count // 2)]
    return np.stack([half for mask in first for half in (mask, ~mask)])
