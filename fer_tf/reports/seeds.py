"""Average runs over their seeds, and compare conditions with a baseline."""

from collections.abc import Sequence

import pandas as pd

__all__ = ["gains", "over_seeds"]


def over_seeds(runs: pd.DataFrame, by: str | Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Return the mean, standard deviation and standard error of each condition.

    Args:
        runs: a row for each run.
        by: columns that tell conditions apart.
        measures: columns of numbers.

    Returns:
        A row for each condition, in the order of their first runs, with the index ``by``: ``seeds`` (how many runs),
        the mean of each measure under its name, then ``<measure>_sd`` and ``<measure>_sem``, which are NaN for one run.

    Example:
        >>> runs = pd.DataFrame({"way": ["a", "a", "b"], "accuracy": [0.5, 0.75, 0.25]})
        >>> over_seeds(runs, "way", ["accuracy"]).round(3).reset_index()
          way  seeds  accuracy  accuracy_sd  accuracy_sem
        0   a      2     0.625        0.177         0.125
        1   b      1     0.250          NaN           NaN
    """
    groups = runs.groupby([by] if isinstance(by, str) else list(by), sort=False)
    values = groups[list(measures)]
    spread = [values.std(ddof=1).add_suffix("_sd"), values.sem().add_suffix("_sem")]
    return pd.concat([groups.size().rename("seeds"), values.mean(), *spread], axis=1)


def gains(table: pd.DataFrame, baseline: object, measure: str = "accuracy") -> pd.DataFrame:
    """Return ``over_seeds``' table with columns that compare each condition with a baseline.

    Args:
        table: with an index of one level, or of several, the last of which names the conditions that are compared.
        baseline: a name in that level.
        measure: a column of ``table``, beside ``<measure>_sd``.

    Returns:
        A copy with ``gain``, the difference of the means, and ``pooled_sd``, the root of the mean of both variances: a
        gain below it is none. Both are NaN where the baseline is missing.

    Example:
        >>> runs = pd.DataFrame({"way": ["a", "a", "b", "b"], "accuracy": [50, 52, 55, 57]})
        >>> gains(over_seeds(runs, "way", ["accuracy"]), "a")[["gain", "pooled_sd"]].round(2).reset_index()
          way  gain  pooled_sd
        0   a   0.0       1.41
        1   b   5.0       1.41
    """
    levels = list(range(table.index.nlevels - 1))
    groups = table.groupby(level=levels, sort=False) if levels else [((), table)]
    parts = []
    for _, rows in groups:
        base = rows[rows.index.get_level_values(-1) == baseline].reindex(columns=[measure, f"{measure}_sd"])
        mean, sd = base.iloc[0] if len(base) else (float("nan"), float("nan"))
        pooled = ((rows[f"{measure}_sd"] ** 2 + sd**2) / 2) ** 0.5
        parts.append(rows.assign(gain=rows[measure] - mean, pooled_sd=pooled))
    return pd.concat(parts)
