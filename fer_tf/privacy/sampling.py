"""Draw the faces of an audit, and divide faces into halves."""

import numpy as np

from fer_tf.errors import UserError


def balanced_rows(labels: np.ndarray, member: np.ndarray, most: int | None = None, seed: int = 0) -> np.ndarray:
    """Draw as many members as non-members of every class.

    Otherwise an attack could profit from classes that are more frequent on one side.

    Args:
        labels: int (N,).
        member: bool (N,).
        most: about how many members at most, and as many non-members; every class keeps at least one. ``None`` draws
            all that can be balanced.
        seed: of the draw.

    Returns:
        Rows, int (M,), in ascending order.

    Raises:
        UserError: no class has members and non-members.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> labels, member = np.array([0, 0, 1, 0, 1]), np.array([True, True, True, False, False])
        >>> rows = privacy.balanced_rows(labels, member)
        >>> len(rows), int(member[rows].sum())
        (4, 2)
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
    """Divide rows into halves in which every stratum differs by at most one row.

    Args:
        strata: int (N,), a number for each group of rows.
        seed: of the draw.

    Returns:
        bool (N,), true for one half.
    """
    rng = np.random.default_rng([seed, 0x4A1F])
    order = np.lexsort((rng.random(len(strata)), strata))
    half = np.empty(len(strata), bool)
    half[order] = np.arange(len(strata)) % 2 == 0
    return half


def audit_halves(labels: np.ndarray, member: np.ndarray, seed: int = 0) -> np.ndarray:
    """Divide the audited faces into halves, stratified by class and membership; bool (N,)."""
    return halves(member * (labels.max() + 1) + labels, seed)


def shadow_halves(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Choose the faces that each shadow model is trained on.

    Shadow models come in pairs that share all faces between them, stratified by class, so that half of the models have
    seen each face.

    Args:
        labels: int (N,).
        count: number S of shadow models.
        seed: of the halves.

    Returns:
        bool (S, N).

    Raises:
        UserError: an odd number of models, or none.
    """
    if count < 2 or count % 2:
        raise UserError(
            f"{count} shadow models. Expected an even number from 2 on: pairs share the faces between them."
        )
    first = [halves(labels, seed + pair) for pair in range(count // 2)]
    return np.stack([half for mask in first for half in (mask, ~mask)])
