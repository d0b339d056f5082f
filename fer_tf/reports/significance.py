"""Average runs over seeds, and test which differences are more than chance.

Two things move an accuracy that is measured: which faces are in the test set, and the seed of the training. The
variance of the faces is that of their per-face scores. The variance of the seeds is pooled over all settings that were
trained with several seeds, since two runs of one setting alone tell little; without any such setting it is left out,
and intervals are of the faces alone. The sum of both is compared with Student's t distribution, with the degrees of
freedom of Welch and Satterthwaite.
"""

from collections.abc import Mapping, Sequence

import numpy as np
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


LEVEL = 0.05


def compare(right: Mapping[str, np.ndarray], reference: str) -> pd.DataFrame:
    """Compare the accuracies of several settings with that of a reference.

    Differences are paired: a face that is difficult for both settings tells nothing about which one is better.

    Args:
        right: name of a setting → float or bool (S, N), whether each of its S ≥ 1 runs is right about each of N faces.
            All settings have the same faces in the same order; S may differ.
        reference: the name that the others are compared with.

    Returns:
        A row a setting, in the order of ``right``: ``accuracy`` in 0..1, ``half`` (half length of its 95 % interval),
        ``difference`` (accuracy less that of the reference), ``difference_half`` (half length of its 95 % interval)
        and ``p`` (two-sided, adjusted by Holm's method for all comparisons; NaN for the reference). NaN where there
        are too few faces.

    Example:
        >>> right = {"a": np.array([[1, 1, 1, 0] * 50]), "b": np.array([[1, 0, 0, 1] * 50])}
        >>> compare(right, "a").round(3).loc["b"].to_dict()
        {'accuracy': 0.5, 'half': 0.07, 'difference': -0.25, 'difference_half': 0.116, 'p': 0.0}

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    of_seeds, freedom = _variance_of_seeds(right)
    base = np.mean(right[reference], axis=0)
    rows = []
    for runs in right.values():
        scores = np.mean(runs, axis=0)
        half, _ = _interval(scores, of_seeds / len(runs), freedom)
        both = of_seeds * (1 / len(runs) + 1 / len(right[reference]))
        difference_half, p = _interval(scores - base, both, freedom)
        rows.append((scores.mean(), half, (scores - base).mean(), difference_half, p))
    table = pd.DataFrame(rows, index=list(right), columns=["accuracy", "half", "difference", "difference_half", "p"])
    table.loc[reference, ["difference_half", "p"]] = np.nan
    others = table.index != reference
    table.loc[others, "p"] = holm(table.loc[others, "p"].to_numpy())
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values for several comparisons by Holm's method.

    Args:
        p: float (K,), in 0..1.

    Returns:
        Float (K,): a comparison is significant at a level when its adjusted value is below it.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    steps = np.arange(len(p), 0, -1) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdicts(table: pd.DataFrame, level: float = LEVEL) -> list[str]:
    """Return ``worse``, ``better`` or ``unclear`` for each row of ``compare``, and ``""`` for the reference.

    Example:
        >>> verdicts(pd.DataFrame({"difference": [0.0, -0.2, 0.1], "p": [np.nan, 0.01, 0.3]}))
        ['', 'worse', 'unclear']
    """
    signs = np.where(table["difference"] < 0, "worse", "better")
    return [
        "" if np.isnan(p) else str(sign) if p < level else "unclear" for sign, p in zip(signs, table["p"], strict=True)
    ]


def sentence(found: Sequence[str], winner: str, faces: int, seeds: bool) -> str:
    """Say in one sentence which ranks differ from the first by more than chance.

    Args:
        found: verdicts by rank, the winner's ``""`` first.
        winner: its name.
        faces: how many test faces there were.
        seeds: whether the variance of seeds is in the tests.

    Example:
        >>> sentence(["", "unclear", "worse", "worse"], "muon", 600, seeds=True).partition(": ")[2].partition(" (")[0]
        'ranks 3 and 4 are worse by more than chance; rank 2 cannot be told from it'
    """
    ends = {
        "better": "{} better by more than chance",
        "worse": "{} worse by more than chance",
        "unclear": "cannot be told from it",
    }
    parts = []
    for verdict, end in ends.items():
        ranks = [rank for rank, value in enumerate(found, start=1) if value == verdict]
        if ranks:
            subject = f"rank{'s' if len(ranks) > 1 else ''} {_ranges(ranks)}"
            parts.append(f"{subject} {end.format('are' if len(ranks) > 1 else 'is')}")
    what = "over faces and seeds" if seeds else "over faces; another seed would move accuracies, too"
    method = f"paired t-tests {what}; Holm's correction, level {100 * LEVEL:g} %"
    return f"Beside the winner, {winner}, on {faces:,} test faces: {'; '.join(parts)} ({method})."


def _variance_of_seeds(right: Mapping[str, np.ndarray]) -> tuple[float, int]:
    """Return the pooled variance of accuracy between seeds, and its degrees of freedom; zeros without several."""
    several = [np.mean(runs, axis=1) for runs in right.values() if len(runs) > 1]
    freedom = sum(len(accuracies) - 1 for accuracies in several)
    squares = sum(((accuracies - accuracies.mean()) ** 2).sum() for accuracies in several)
    return (float(squares) / freedom if freedom else 0.0), freedom


def _interval(scores: np.ndarray, of_seeds: float, freedom: int) -> tuple[float, float]:
    """Return half the 95 % interval of the mean of ``scores`` (N,), and the p-value of a mean of zero."""
    from scipy import stats

    if len(scores) < 2:
        return np.nan, 1.0
    of_faces = scores.var(ddof=1) / len(scores)
    variance = of_faces + of_seeds
    if not variance:
        return 0.0, 1.0
    parts = of_faces**2 / (len(scores) - 1) + (of_seeds**2 / freedom if freedom else 0.0)
    students_t = stats.t(variance**2 / parts)
    error = np.sqrt(variance)
    return students_t.ppf(1 - LEVEL / 2) * error, 2 * students_t.sf(abs(scores.mean()) / error)


def _ranges(ranks: Sequence[int]) -> str:
    """Return whole numbers in order as text: 2, 3, 4 and 7 as ``2 to 4 and 7``."""
    groups: list[list[int]] = []
    for rank in ranks:
        if groups and rank == groups[-1][-1] + 1:
            groups[-1].append(rank)
        else:
            groups.append([rank])
    texts = [part for g in groups for part in ([f"{g[0]} to {g[-1]}"] if len(g) > 2 else map(str, g))]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
