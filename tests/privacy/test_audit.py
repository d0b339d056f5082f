"""Audits of predictions: what each attack finds, what the file holds, what the page says."""

import json
import zipfile

import numpy as np
import pytest
from scipy.stats import norm

from fer_tf.errors import DataError, UserError
from fer_tf.privacy import (
    ATTACKS,
    SHADOW_ATTACKS,
    USUAL,
    Predictions,
    ShadowPredictions,
    attack_scores,
    attacks,
    audit_predictions,
    from_logits,
    read_predictions,
    report,
    roc_curve,
    summarize,
)
from fer_tf.privacy.audit import choose_attacks, generalization_gap
from fer_tf.privacy.predictions import shadow_halves

CLASSES = ("angry", "happy", "sad")


def answers(gain=0.0, faces=900, seed=0, shadows=0):
    """Return answers in which a member's label has a logit that is higher by ``gain``."""
    rng = np.random.default_rng(seed)
    labels, member = np.arange(faces) % 3, np.arange(faces) % 2 == 0
    own, told = np.eye(3)[labels], None
    logits = rng.normal(size=(faces, 3)) + (1 + gain * member[:, None]) * own
    if shadows:
        seen = shadow_halves(labels, shadows, seed)
        found = rng.normal(size=(shadows, faces, 3)) + (1 + gain * seen[..., None]) * own
        told = ShadowPredictions(from_logits(found), seen)
    ids = np.array([f"face{i}" for i in range(faces)])
    return Predictions(from_logits(logits), labels, member, CLASSES, ids, told)


def test_every_attack_finds_what_was_learned_and_nothing_where_nothing_was():
    names = list(ATTACKS)
    told, silent = (audit_predictions(answers(gain, shadows=4), names, resamples=0) for gain in (2.0, 0.0))
    found, nothing = ({a.name: a.overall["auc"]["value"] for a in side} for side in (told, silent))
    assert set(found) == set(ATTACKS) >= {*USUAL, *SHADOW_ATTACKS}
    assert all(value > 0.62 for value in found.values()), found
    assert all(0.44 < value < 0.56 for value in nothing.values()), nothing
    # 2 · (rate right) is what correctness alone can know.
    right = generalization_gap(answers(2.0))
    assert found["correctness"] == pytest.approx(0.5 + right["gap"] / 2)


def test_the_loss_attack_on_two_classes_has_the_auc_of_its_logits():
    rng = np.random.default_rng(3)
    member = np.arange(20_000) < 10_000
    margin = rng.normal(size=20_000) + 1.0 * member
    logits = np.column_stack([margin, np.zeros(20_000)])
    told = Predictions(from_logits(logits), np.zeros(20_000, int), member, ("a", "b"))
    found = audit_predictions(told, ["loss", "modified_entropy"], resamples=0)
    for attack in found:  # both grow with the margin alone
        assert attack.overall["auc"]["value"] == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_a_learned_attacker_never_sees_the_face_it_scores():
    told = answers(0.0, 400)
    crossed = attack_scores("forest", told)
    seen = attacks.features(told.log_probabilities, told.labels)
    itself = attacks.ATTACKERS["forest"](400, 0).fit(seen, told.member).predict_proba(seen)[:, 1]
    crossed_auc, own_auc = (roc_curve(values, told.member).auc for values in (crossed, itself))
    # Answers say nothing here: what a forest knows of the faces that it learned from is their noise.
    assert crossed_auc == pytest.approx(0.5, abs=0.1) and own_auc > 0.7


def test_shadow_attackers_are_one_a_class():
    # In class 0 members are sure, in class 1 they doubt: one attacker for both would find nothing.
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 600)
    sign = np.where(labels == 0, 3.0, -3.0)

    def told(seen):
        margin = rng.normal(size=seen.shape) + sign * (seen - 0.5)
        return from_logits(np.stack([margin, np.zeros(seen.shape)], axis=-1) * np.where(labels, -1, 1)[:, None])

    seen, member = shadow_halves(labels, 4), np.arange(1200) % 2 == 0
    own = Predictions(told(member), labels, member, ("a", "b"), None, ShadowPredictions(told(seen), seen))
    by_class, together = audit_predictions(own, ["shadow", "loss"], resamples=0)
    assert by_class.overall["auc"]["value"] > 0.95 and together.overall["auc"]["value"] == pytest.approx(0.5, abs=0.05)


def test_slices_are_the_classes_and_right_and_wrong():
    told = answers(1.0, 300)
    (attack,) = audit_predictions(told, ["loss"], resamples=20)
    assert list(attack.slices) == [*CLASSES, "rightly classified", "wrongly classified"]
    assert [attack.slices[c]["members"] for c in CLASSES] == [50, 50, 50]
    assert sum(attack.slices[c]["tp"] for c in CLASSES) == attack.overall["tp"]
    right = attack.slices["rightly classified"]
    assert right["members"] == int((told.right & told.member).sum())
    assert right["members"] + attack.slices["wrongly classified"]["members"] == 150


def test_answers_survive_their_file_as_logits_and_as_probabilities(tmp_path):
    told = answers(1.0, 60, shadows=2)
    told.save(tmp_path / "told.npz")
    back = read_predictions(tmp_path / "told.npz")
    assert back.log_probabilities == pytest.approx(told.log_probabilities)
    assert back.shadows.log_probabilities == pytest.approx(told.shadows.log_probabilities)
    assert back.classes == CLASSES and back.ids.tolist() == told.ids.tolist()
    assert np.array_equal(back.member, told.member) and np.array_equal(back.shadows.member, told.shadows.member)
    np.savez(
        tmp_path / "p.npz", probabilities=np.exp(told.log_probabilities), labels=told.labels, member=told.member * 1
    )
    assert read_predictions(tmp_path / "p.npz").log_probabilities == pytest.approx(told.log_probabilities)
    assert read_predictions(tmp_path / "p.npz").classes == ("0", "1", "2")


GOOD = {"logits": np.zeros((4, 3)), "labels": np.arange(4) % 3, "member": np.array([1, 1, 0, 0], bool)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "no labels in it. Expected:\nlogits"),
        ({"logits": None}, "no logits or probabilities in it"),
        ({"labels": np.array([0, 1, 2, 3])}, "Row 3 has label 3. Expected 0 to 2"),
        ({"labels": np.arange(3)}, r"labels is \(3,\), but there are predictions for 4 faces"),
        ({"labels": np.zeros(4)}, "labels are float64"),
        ({"member": np.array([0, 1, 2, 0])}, "Expected whole numbers and true or false"),
        ({"logits": np.full((4, 3), np.nan)}, "Logits of row 0 are not finite"),
        ({"classes": np.array(["a"])}, "1 class names for 3 columns"),
        ({"shadow_logits": np.zeros((2, 4, 3))}, "no shadow_member"),
        ({"shadow_logits": np.zeros((2, 5, 3)), "shadow_member": np.zeros((2, 5), bool)}, r"Expected \(S, 4, 3\)"),
    ],
)
def test_a_file_that_is_wrong_says_how(tmp_path, change, message):
    columns = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    np.savez(tmp_path / "a.npz", **columns)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(tmp_path / "a.npz")
    assert "a.npz" in str(caught.value)


def test_a_file_that_takes_far_more_memory_than_its_size_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        for _ in range(2**9):
            file.write(bytes(2**20))
    with pytest.raises(DataError, match=r"a\.npz.*its entries take more than"):
        read_predictions(tmp_path / "a.npz")


def test_what_is_no_npz_file_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"a\.npz is not an \.npz file"):
        read_predictions(tmp_path / "a.npz")
    with pytest.raises(UserError, match="No file of predictions at"):
        read_predictions(tmp_path / "b.npz")


def test_attacks_that_cannot_run_are_refused_before_work():
    with pytest.raises(UserError, match="'lira' needs shadow models"):
        choose_attacks(["loss", "lira"], shadows=False)
    with pytest.raises(UserError, match="Unknown attack 'los'"):
        choose_attacks(["los"], shadows=False)
    with pytest.raises(UserError, match="'loss' is named twice"):
        choose_attacks(["loss", "loss"], shadows=False)
    assert choose_attacks(None, True) == [*USUAL, *SHADOW_ATTACKS]


def test_a_page_has_all_numbers_and_opens_nothing_from_elsewhere(tmp_path):
    told = answers(1.0, 300, shadows=2)
    results = audit_predictions(told, ["loss", "lira"], resamples=20)
    record = {"subject": "<net>", **summarize(told, results)}
    written = report.write_report(told, results, record, tmp_path, "<net>")
    assert all(path.is_file() for path in written) and len(written) == 6
    text = (tmp_path / "report.html").read_text()
    assert "&lt;net&gt;" in text and "<net>" not in text and "http" not in text
    assert text.count("data:image/png;base64,") == 3 and "LiRA, offline" in text and "wrongly classified" in text
    numbers = json.loads((tmp_path / "audit.json").read_text())
    assert numbers["faces"] == {"members": 150, "non_members": 150} and numbers["shadow_models"] == 2
    assert numbers["by_class"]["members"] == dict.fromkeys(CLASSES, 50)
    assert numbers["attacks"]["loss"]["slices"]["sad"]["members"] == 50
    assert numbers["accuracy"] == generalization_gap(told)
    assert len(read_predictions(tmp_path / "predictions.npz")) == 300
