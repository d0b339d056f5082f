"""Distillation: its targets by hand, its limits, and what it refuses."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import objectives, run
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives.targets import softened

LABELS = LabelSet("three", ("a", "b", "c"))
MODEL = "vgg(filters=(2,), depth=1, head='gap')"


def table(split="train", n=24):
    rng = np.random.default_rng(n)
    return FaceTable(
        targets=one_hot(np.arange(n) % 3, 3), label_set=LABELS, split=np.full(n, split),
        ids=np.array([f"{split}{i}" for i in range(n)]), images=rng.integers(0, 256, (n, 16, 16, 1), np.uint8),
    )  # fmt: skip


TABLES = {"train": table(), "validation": table("validation", 9), "test": table("test", 12)}


def network(seed=0, size=16, classes=3):
    keras.utils.set_random_seed(seed)
    return models.get(MODEL, classes, (size, size, 1))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Files of two networks that do not agree."""
    paths = [tmp_path_factory.mktemp("teachers") / f"{seed}.keras" for seed in (1, 2)]
    for seed, path in enumerate(paths, start=1):
        teacher = network(seed)
        teacher.get_layer("logits").kernel.assign(20 * teacher.get_layer("logits").kernel)
        models.save_model(teacher, path, models.ModelMetadata(LABELS, 16))
    return tuple(str(p) for p in paths)


def objective(text):
    made = objectives.get(text, network(), TABLES["train"])
    made.compile("sgd", losses.get("cross_entropy"))
    return made


def loss_of(made, x, y):
    return float(made.compute_loss(x=x, y=y, y_pred=made(x)))


def test_softened_by_hand():
    two = [np.log([[0.8, 0.2]]).astype("float32"), np.log([[0.4, 0.6]]).astype("float32")]
    np.testing.assert_allclose(softened(two, 1.0), [[0.6, 0.4]], atol=1e-6)
    # √0.8 : √0.2 is 2 : 1.
    np.testing.assert_allclose(softened(two[:1], 2.0), [[2 / 3, 1 / 3]], atol=1e-6)
    np.testing.assert_allclose(softened(two, 1e6), [[0.5, 0.5]], atol=1e-6)


def test_the_loss_is_that_of_the_mixed_targets(teachers):
    made = objective(f"distillation(teachers={teachers}, weight=0.25, temperature=3.0)")
    x, y = TABLES["train"].images[:8].astype("float32"), TABLES["train"].targets[:8]
    theirs = [np.asarray(models.load_model(t)(x)) / 3 for t in teachers]
    theirs = np.mean([np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in theirs], axis=0)
    ours = np.asarray(made.network(x))
    log_p = ours - np.log(np.exp(ours).sum(1, keepdims=True))
    assert loss_of(made, x, y) == pytest.approx(-((0.75 * y + 0.25 * theirs) * log_p).sum(1).mean(), rel=1e-5)
    agreement = (ours.argmax(1) == theirs.argmax(1)).mean()
    assert float(made.parts["agreement"].result()) == pytest.approx(agreement)


def test_without_weight_it_is_plain_training_and_with_all_of_it_labels_do_not_matter(teachers):
    x, y = TABLES["train"].images[:8].astype("float32"), TABLES["train"].targets[:8]
    plain = loss_of(objective("classification"), x, y)
    assert loss_of(objective(f"distillation(teachers={teachers}, weight=0)"), x, y) == pytest.approx(plain)
    blind = objective(f"distillation(teachers={teachers}, weight=1.0)")
    assert loss_of(blind, x, y) == loss_of(blind, x, y[::-1]) != pytest.approx(plain)


def test_a_run_leaves_the_teacher_alone_and_out_of_the_network(teachers, tmp_path):
    config = RunConfig(
        name="d", model=MODEL, crop=16, epochs=2, batch_size=8, optimizer="adam", learning_rate=0.01,
        objective=f"distillation(teachers={teachers[:1]})",
    )  # fmt: skip
    metrics = run.execute(config, tmp_path, lambda _: TABLES)
    assert metrics["parameters"] == network().count_params() - 2 * 2  # batch-norm's two statistics a channel
    assert "agreement" in pd.read_csv(tmp_path / "history.csv")
    made = objectives.get(config.objective, network(), TABLES["train"])
    assert {id(v) for v in made.trainable_variables} == {id(v) for v in made.network.trainable_variables}
    assert not [v for v in made.variables if "teacher" in v.path]


def test_teachers_compute_in_the_precision_of_the_run_and_their_opinion_is_float32(teachers):
    made = objective(f"distillation(teachers={teachers})")
    x = TABLES["train"].images[:8].astype("float32")
    exact = made(x)["teachers"]
    made.speed_up("bfloat16")
    rough = made(x)["teachers"]
    assert rough.dtype == exact.dtype == "float32"
    np.testing.assert_allclose(rough, exact, atol=0.05)
    assert not np.array_equal(rough, exact)


@pytest.mark.slow
def test_another_teacher_in_the_same_file_starts_the_run_over(tmp_path):
    def write(seed):
        models.save_model(network(seed), tmp_path / "t.keras", models.ModelMetadata(LABELS, 16))

    objective = f"distillation(teachers=({str(tmp_path / 't.keras')!r},))"
    config = RunConfig(name="d", model=MODEL, crop=16, epochs=1, batch_size=8, objective=objective)
    write(1)
    first = run.execute(config, tmp_path / "run", lambda _: TABLES)
    assert run.execute(config, tmp_path / "run", lambda _: TABLES) == first
    write(2)
    assert run.execute(config, tmp_path / "run", lambda _: TABLES) != first


def test_what_cannot_teach_is_named(teachers, tmp_path):
    other = LabelSet("other", ("a", "c", "b"))
    models.save_model(network(), tmp_path / "classes.keras", models.ModelMetadata(other, 16))
    models.save_model(network(size=20), tmp_path / "size.keras", models.ModelMetadata(LABELS, 20))
    for text, message in {
        f"distillation(teachers=({str(tmp_path / 'classes.keras')!r},))": "its classes are a, c, b; expected a, b, c",
        f"distillation(teachers=({str(tmp_path / 'size.keras')!r},))": "faces of 20×20×1; expected 16×16×1",
        "distillation(teachers=('nowhere.keras',))": "No model .*nowhere.keras",
        "distillation": "needs teachers=",
        f"distillation(teachers={teachers}, weight=1.5)": "weight is 1.5",
        f"distillation(teachers={teachers}, temperature=0)": "temperature is 0",
    }.items():
        with pytest.raises(UserError, match=message):
            objectives.get(text, network(), TABLES["train"])
    config = RunConfig(name="d", objective="distillation(teachers=('nowhere.keras',))")
    with pytest.raises(UserError, match=r"No model .*nowhere\.keras"):
        run.execute(replace(config, model=MODEL, crop=16), tmp_path / "run", lambda _: TABLES)
