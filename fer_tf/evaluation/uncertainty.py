"""Combine predictions; tabulate calibration, conformal sets and disagreement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_tf.datasets.ferplus_votes import EMOTIONS, VOTE_CLASSES
from fer_tf.errors import UserError, unknown_name
from fer_tf.evaluation.scoring import logits
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized
from fer_tf.labels import normalize
from fer_tf.metrics import calibration, conformal, distribution
from fer_tf.metrics.distribution import entropy, log_softmax, softmax
from fer_tf.models import metadata_of

if TYPE_CHECKING:
    import keras

MEANS = ("probabilities", "logits")


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Uncertainty of an ensemble's prediction for each face, float64 (N,) each.

    Attributes:
        entropy: of the mean probabilities, in nats: the total uncertainty.
        expected_entropy: mean of the entropies of the members, in nats: the uncertainty within each network, high for
            faces that look like two expressions (aleatoric).
        mutual_information: the difference of the two, ≥ 0: the uncertainty from different predictions of the members,
            high for faces unlike those of the training (epistemic). 0 for one network.
        disagreement: share of the pairs of networks that predict different classes, from 0 to 1; 0 for one network.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> found = evaluation.uncertainty_of(np.array([[[9.0, 0.0]], [[0.0, 9.0]]]))
        >>> found.disagreement
        array([1.])
    """

    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray
    disagreement: np.ndarray


def member_logits(
    networks: "Sequence[keras.Model]", images: np.ndarray, view: str = "center", batch_size: int = 256
) -> np.ndarray:
    """Compute the logits of several networks for the same faces.

    Args:
        networks: M models with metadata (``fer_tf.models.load_model``) for the same classes; their face sizes may
            differ.
        images: uint8 (N, H, W, channels), resized for each network.
        view: test-time augmentation, see ``evaluation.logits``.
        batch_size: most faces in one forward pass.

    Returns:
        float32 (M, N, C).

    Raises:
        UserError: no network, one with other classes, or images that do not fit one.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.load_model("ferplus")
        >>> fer_tf.evaluation.member_logits([network], np.zeros((2, 48, 48, 1), "uint8")).shape
        (1, 2, 8)
    """
    check_classes(networks)
    return np.stack(
        [logits(n, resized(images, metadata_of(n).face_size), batch_size=batch_size, view=view) for n in networks]
    )


def check_classes(networks: "Sequence[keras.Model]") -> None:
    """Raise a ``UserError`` unless there are networks with the same classes in one order."""
    if not networks:
        raise UserError("An ensemble needs at least one network.")
    sets = [metadata_of(network).label_set.classes for network in networks]
    for other in sets:
        if other != sets[0]:
            names = [", ".join(classes) for classes in (sets[0], other)]
            raise UserError(
                f"Networks of one ensemble must have the same classes in one order: {names[0]}; not {names[1]}."
            )


def combine(member_logits: np.ndarray, mean_of: str = "probabilities") -> np.ndarray:
    """Combine the predictions of several networks.

    Args:
        member_logits: float (M, N, C).
        mean_of: ``"probabilities"`` (all networks have the same influence) or ``"logits"`` (the geometric mean of the
            probabilities; a class that one network excludes is excluded).

    Returns:
        Log-probabilities, float64 (N, C), which can be used as logits.

    Raises:
        UserError: another shape, or an unknown mean.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> members = np.log([[[0.75, 0.25]], [[0.25, 0.75]]])
        >>> np.exp(evaluation.combine(members))
        array([[0.5, 0.5]])
    """
    z = _check(member_logits)
    if mean_of not in MEANS:
        raise unknown_name("mean of an ensemble", mean_of, MEANS)
    if mean_of == "logits":
        return log_softmax(log_softmax(z).mean(axis=0))
    terms = log_softmax(z)
    highest = terms.max(axis=0)
    return highest + np.log(np.exp(terms - highest).mean(axis=0))


def uncertainty_of(member_logits: np.ndarray) -> Uncertainty:
    """Measure the uncertainty of an ensemble, and split it into its two kinds.

    Args:
        member_logits: float (M, N, C).

    Returns:
        An ``Uncertainty`` with one value per face.

    Raises:
        UserError: another shape.

    References:
        Predictive entropy and mutual information: arXiv 1703.02910; deep ensembles: arXiv 1612.01474.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> evaluation.uncertainty_of(np.log([[[0.5, 0.5]], [[0.5, 0.5]]])).mutual_information
        array([0.])
    """
    probabilities = softmax(_check(member_logits))
    together = entropy(probabilities.mean(axis=0))
    alone = entropy(probabilities).mean(axis=0)
    return Uncertainty(together, alone, np.maximum(together - alone, 0), _disagreement(probabilities.argmax(axis=-1)))


def _disagreement(predicted: np.ndarray) -> np.ndarray:
    """Return the share of pairs of the M predicted classes (M, N) that differ."""
    members = len(predicted)
    pairs = members * (members - 1)
    if not pairs:
        return np.zeros(predicted.shape[1])
    return (predicted[:, None] != predicted[None]).sum(axis=(0, 1)) / pairs


def _check(member_logits: np.ndarray) -> np.ndarray:
    z = np.asarray(member_logits, np.float64)
    if z.ndim != 3 or not z.size:
        raise UserError(f"Logits of an ensemble are {z.shape}. Expected (networks, faces, classes), none of them 0.")
    return z


# Shares of the faces, the most confident ones, on which accuracy is computed.
_ANSWERED = (0.95, 0.9, 0.8, 0.5)
_ALL, _WITHOUT_VOTES = "all faces", "no votes"


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Predictions of one or several networks for the faces of one split.

    Attributes:
        members: float (M, N, C), the logits of each network.
        targets: float (N, C), rows sum to 1.
        mean_of: how the networks are combined, see ``ensemble.combine``.
        temperature: divides the combined log-probabilities.
    """

    members: np.ndarray
    targets: np.ndarray
    mean_of: str = "probabilities"
    temperature: float = 1.0

    @property
    def labels(self) -> np.ndarray:
        """The right classes, int (N,)."""
        return self.targets.argmax(axis=1)

    @property
    def log_probabilities(self) -> np.ndarray:
        """Log-probabilities of the networks together, float64 (N, C)."""
        return log_softmax(combine(self.members, self.mean_of) / self.temperature)

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the right one, bool (N,)."""
        return self.log_probabilities.argmax(axis=1) == self.labels


def vote_entropy(table: FaceTable) -> np.ndarray | None:
    """Compute the entropy of the annotators' votes on each face.

    Votes of FER+ for *unknown* and *NF* (no face) do not count.

    Args:
        table: N faces.

    Returns:
        float64 (N,) in nats, NaN for a face without votes; ``None`` for a table without votes.
    """
    if table.votes is None:
        return None
    votes = np.asarray(table.votes, np.float64)
    votes = votes[:, :EMOTIONS] if votes.shape[1] == len(VOTE_CLASSES) else votes
    some = votes.sum(axis=1) > 0  # faces without votes have zeros, or NaN
    found = np.full(len(table), np.nan)
    found[some] = np.abs(distribution.entropy(normalize(votes[some])))  # −0 is no number to show
    return found


def quartiles(entropy: np.ndarray | None, count: int) -> Mapping[str, np.ndarray]:
    """Sort faces into four groups by the entropy of their votes.

    Ten votes have few different entropies, so that groups differ in size, and there may be fewer than four.

    Args:
        entropy: float (N,) in nats, NaN for faces without votes; ``None`` where no face has any.
        count: N.

    Returns:
        A dict from the name of the group to bool (N,); the first group has all faces.
    """
    groups = {_ALL: np.ones(count, bool)}
    if entropy is None or np.isnan(entropy).all():
        return groups
    known = ~np.isnan(entropy)
    edges = np.unique(np.quantile(entropy[known], [0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    lowest = np.nanmin(entropy)
    for low, high in zip([-np.inf, *edges[:-1]], edges, strict=True):
        inside = known & (entropy > low) & (entropy <= high)
        first = max(low, lowest)
        name = f"votes' entropy {high:.2f}" if first == high else f"votes' entropy {first:.2f}–{high:.2f}"
        groups[name] = inside
    if not known.all():
        groups[_WITHOUT_VOTES] = ~known
    return groups


def calibration_table(answers: Mapping[str, SplitPredictions]) -> pd.DataFrame:
    """Return a row for each entry: temperature, accuracy, confidence, calibration error, likelihood, Brier score."""
    rows = []
    for name, a in answers.items():
        log_p = a.log_probabilities
        p = np.exp(log_p)
        rows.append({
            "answers": name, "faces": len(p), "temperature": a.temperature, "accuracy": float(a.right.mean()),
            "confidence": float(p.max(axis=1).mean()), "ece": calibration.expected_calibration_error(a.targets, p),
            "nll": calibration.negative_log_likelihood(a.targets, log_p),
            "brier": calibration.brier_score(a.targets, p),
        })  # fmt: skip
    return pd.DataFrame(rows)


def chosen_sets(
    known: SplitPredictions, asked: SplitPredictions, alpha: float, seed: int = 0
) -> dict[tuple[str, str], np.ndarray]:
    """Compute the conformal sets of every score.

    Args:
        known: predictions for the calibration faces, on which the networks were not trained.
        asked: predictions for the faces that get sets.
        alpha: share of sets that may miss the right class.
        seed: of the random shares of APS and RAPS.

    Returns:
        A dict from (score, scope) to bool (N, C); the scope is ``"all"``, one limit for all classes, or
        ``"by class"``, a limit per class.
    """
    rng = np.random.default_rng(seed)
    draws = [rng.random(len(a.labels)) for a in (known, asked)]
    pair = [np.exp(a.log_probabilities) for a in (known, asked)]
    found = {}
    for name, score in conformal.SCORES.items():
        first, second = (score(p, u) for p, u in zip(pair, draws, strict=True))
        for scope in ("all", "by class"):
            limits = conformal.thresholds(first, known.labels, alpha, by_class=scope == "by class")
            found[name, scope] = conformal.sets(second, limits)
    return found


def sets_table(
    sets: Mapping[tuple[str, str], np.ndarray], asked: SplitPredictions, groups: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return a row for each score, scope and group: accuracy, and the measures of ``conformal.describe``."""
    rows = []
    for (score, scope), chosen in sets.items():
        for group, inside in groups.items():
            worth = conformal.describe(chosen[inside], asked.labels[inside])
            accuracy = float(asked.right[inside].mean())
            rows.append({"score": score, "scope": scope, "group": group, "accuracy": accuracy, **worth})
    return pd.DataFrame(rows)


def confidences(answers: SplitPredictions) -> dict[str, np.ndarray]:
    """Compute several measures of confidence by which faces can be rejected.

    Args:
        answers: predictions for N faces.

    Returns:
        A dict from name to float64 (N,), large for confident; two of them need several networks.
    """
    p = np.exp(answers.log_probabilities)
    ordered = np.sort(p, axis=1)
    found = {
        "highest probability": ordered[:, -1],
        "margin to the second": ordered[:, -1] - ordered[:, -2],
        "entropy": -distribution.entropy(p),
    }
    if len(answers.members) > 1:
        known = uncertainty_of(answers.members)
        found |= {"mutual information": -known.mutual_information, "disagreement": -known.disagreement}
    return found


def rejection_table(answers: SplitPredictions) -> pd.DataFrame:
    """Return a row for each measure of confidence: AURC, its excess over the best order, accuracies after rejection."""
    rows = [
        {
            "refuses by": name, "aurc": conformal.aurc(values, answers.right),
            "excess": conformal.excess_aurc(values, answers.right), "accuracy": float(answers.right.mean()),
            **{f"accuracy of {s:.0%}": conformal.accuracy_at_coverage(values, answers.right, s) for s in _ANSWERED},
        }
        for name, values in confidences(answers).items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def faces_table(
    table: FaceTable, answers: SplitPredictions, sets: Mapping[tuple[str, str], np.ndarray], entropy: np.ndarray | None
) -> pd.DataFrame:
    """Return a row for each face: true and predicted class, uncertainty, entropy of the votes, conformal sets."""
    names, p = np.array(table.label_set.classes), np.exp(answers.log_probabilities)
    found = uncertainty_of(answers.members)
    return pd.DataFrame({
        "face": table.ids, "true": names[answers.labels], "predicted": names[p.argmax(axis=1)], "right": answers.right,
        "confidence": p.max(axis=1), "entropy": distribution.entropy(p),
        "mutual_information": found.mutual_information, "disagreement": found.disagreement,
        "vote_entropy": np.full(len(table), np.nan) if entropy is None else entropy,
        **{s: [" ".join(names[row]) for row in chosen] for (s, scope), chosen in sets.items() if scope == "all"},
    })  # fmt: skip


def reliability_lines(before: SplitPredictions, after: SplitPredictions, bins: int = calibration.BINS) -> pd.DataFrame:
    """Return a reliability diagram before and after temperature scaling, in percent; the index is confidence."""
    found = {
        name: calibration.reliability(a.targets, softmax(a.log_probabilities), bins)
        for name, a in (("as it is", before), ("after the temperature", after))
    }
    middle = 100 * (found["as it is"].edges[1:] + found["as it is"].edges[:-1]) / 2
    lines = pd.DataFrame({name: 100 * r.accuracy for name, r in found.items()}, index=middle)
    return lines.assign(perfect=middle)


def uncertainty_tables(
    faces: Mapping[str, FaceTable],
    answers: Mapping[str, SplitPredictions],
    alpha: float = 0.1,
    seed: int = 0,
    names: Sequence[str] = (),
) -> tuple[dict[str, pd.DataFrame], SplitPredictions]:
    """Calibrate networks on validation, and return all tables of their uncertainty on test.

    Args:
        faces: the tables of ``validation`` and ``test``.
        answers: what the networks say of them, by split.
        alpha: share of conformal sets that may miss the right class.
        seed: draws what APS and RAPS draw.
        names: of the members of an ensemble, to list each alone too.

    Returns:
        ``calibration``, ``sets``, ``rejection`` and ``faces`` by name, and the answers on test at the temperature that
        was fitted on validation.
    """
    known, test = answers["validation"], answers["test"]
    temperature = calibration.fit_temperature(known.log_probabilities, known.targets)
    after = {split: replace(a, temperature=temperature) for split, a in answers.items()}
    entropy = vote_entropy(faces["test"])
    sets = chosen_sets(after["validation"], after["test"], alpha, seed)
    both = {"as it is": answers, "after the temperature": after}
    rows = {f"{split}, {when}": a[split] for split in after for when, a in both.items()}
    if len(names) > 1:
        rows |= {f"test, {n} alone": replace(test, members=test.members[i : i + 1]) for i, n in enumerate(names)}
    return {
        "calibration": calibration_table(rows),
        "sets": sets_table(sets, after["test"], quartiles(entropy, len(faces["test"]))),
        "rejection": rejection_table(after["test"]),
        "faces": faces_table(faces["test"], after["test"], sets, entropy),
    }, after["test"]
