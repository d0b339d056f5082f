"""Corruption errors: how much more often than a reference a network errs on corrupted faces.

References:
    Hendrycks and Dietterich, arXiv 1903.12261, section 4.2.
"""

import math
from collections.abc import Sequence


def corruption_error(errors: Sequence[float], reference: Sequence[float]) -> float:
    """Return CE: the sum of a network's errors over all severities divided by that of the reference.

    Args:
        errors: shares in [0, 1] of faces called wrongly, one a severity.
        reference: those of the reference network on the same faces.

    Returns:
        1 for a network like the reference, less for a better one; NaN where the reference makes no errors.
    """
    return _ratio(math.fsum(errors), math.fsum(reference))


def relative_corruption_error(
    errors: Sequence[float], clean: float, reference: Sequence[float], reference_clean: float
) -> float:
    """Return relative CE: the sum of what corruption adds to the error, divided by that of the reference.

    Args:
        errors, reference: as in ``corruption_error``.
        clean, reference_clean: errors on the same faces as they are.

    Returns:
        1 for a network that loses as much as the reference; NaN where the reference loses nothing.
    """
    return _ratio(math.fsum(e - clean for e in errors), math.fsum(r - reference_clean for r in reference))


def mean(values: Sequence[float]) -> float:
    """Return the mean of those values that are numbers; NaN where none is."""
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan
