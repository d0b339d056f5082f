"""Render the model card of a published network as Markdown."""

import json
import math
from collections.abc import Sequence
from typing import Any

from fer_tf import registry

USE = (
    "Use it for research on facial expression recognition, for teaching and prototypes, as a baseline, or as a start "
    "for training on your own faces. It predicts the expression that people see in a photograph, which is not what the "
    "person feels. Faces must be cropped as in FER2013, which `fer-tf crop` does. `fer_tf.predict` and "
    "`fer_tf.analyze` return probabilities, `fer_tf.load_model` returns the Keras network."
)
MISUSE = (
    "Do not use it for decisions about people: hiring, schools, credit, policing, border control, health, lie "
    "detection, surveillance, or advertising by mood. Do not use it to infer what somebody feels or intends, or on "
    "people who have not agreed. In workplaces and schools of the European Union such use is forbidden, except for "
    "medical and safety reasons (Regulation (EU) 2024/1689, article 5(1)(f)). Fairness between groups of people was "
    "not tested, because the data do not contain age, gender or origin."
)
FER2013 = (
    "FER2013 (Goodfellow et al. 2013, arXiv 1307.0414): 48×48 gray faces from an image search, collected for a "
    "research contest. The images have no license of their own and are for research; this package contains none of "
    "them."
)
LICENSES = {
    "fer2013": FER2013 + " The labels are noisy: ten annotators agree with about two thirds of them.",
    "ferplus": FER2013
    + " FER+ (Barsoum et al. 2016, arXiv 1608.01041): votes of ten annotators on each of these faces, MIT license, "
    "copyright Microsoft.",
    "synthetic": "Drawn faces of this package (Apache-2.0). Scores on them say nothing about photographs.",
    "synthetic_ferplus": "Drawn faces of this package (Apache-2.0). Scores on them say nothing about photographs.",
}
OTHER_LICENSE = "The data have their own license; this package contains none of them."
# Datasets whose official splits have the names in SPLIT_NAMES.
OFFICIAL = ("fer2013", "ferplus")
# Which validation and test faces of a dataset are scored.
FACES_SCORED = {
    "ferplus": " Validation and test contain the faces on whose class more than half of the annotators agree, as in "
    "the paper.",
}
NOT_MEASURED = (
    "Not measured, but expected to be worse: faces from the side, behind hands, masks or glasses, in the dark, or much "
    "smaller than the input. Any image gets an expression, also one without a face; use a face detector before it."
)
# For a class with fewer test faces, the card warns that its recall is uncertain.
FEW = 50
WEAK_RECALL, LARGE_CONFUSION = 0.6, 0.15
SPLIT_NAMES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def render(record: dict[str, Any]) -> str:
    """Render the record that ``publish_model`` made as Markdown."""
    sections = [
        (f"# {record['name']}", _summary(record)),
        ("## Use", USE),
        ("## Do not use", MISUSE),
        ("## Data and licenses", _data(record)),
        ("## Protocol", _protocol(record)),
        ("## Scores", _scores(record)),
        ("## Classes", _classes(record["test"])),
        ("## Known failure modes", _failures(record)),
        ("## Reproduce", _reproduce(record)),
    ]
    return "\n\n".join(f"{heading}\n\n{body}" for heading, body in sections) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(share: float | None, decimals: int = 2) -> str:
    """Format a share as percent; ``None`` becomes a dash."""
    return "–" if share is None else f"{100 * share:.{decimals}f}"


def half_width(share: float, faces: int) -> float:
    """Compute half the width of the 95 % interval of a share of ``faces``."""
    return 1.96 * math.sqrt(share * (1 - share) / faces)


def _summary(record: dict[str, Any]) -> str:
    network, test = record["network"], record["test"]
    side = "×".join(map(str, network["input"]))
    seen = f"mean of {_views(record)} crops in the network" if _views(record) > 1 else "single view"
    return (
        f"The network takes a face of {network['face_size']}×{network['face_size']} pixels and returns "
        f"probabilities of {', '.join(network['classes'])}. Test accuracy, {seen}: **{percent(test['accuracy'])} %** "
        f"(±{100 * half_width(test['accuracy'], test['faces']):.1f}, {test['faces']:,} faces), macro-F1 "
        f"{percent(test['macro_f1'])}.\n\n"
        + table(
            ("", "value"),
            [
                ("network", f"`{network['model']}`, input {side}"),
                ("parameters", f"{network['parameters']:,} (and {network['non_trainable']:,} batch-norm statistics)"),
                ("multiply-accumulates per face", f"{network['macs']:,}"),
                ("file", f"{record['file']['name']}, {record['file']['bytes'] / 1e6:.2f} MB"),
                ("latency of one face, compiled", f"{network['milliseconds']:.2f} ms{_on(network['hardware'])}"),
                (
                    "temperature",
                    f"{network['temperature']:.4f}, stored in the file and applied by `ExpressionClassifier`",
                ),
            ],
        )
    )


def _views(record: dict[str, Any]) -> int:
    return record["network"].get("views", 1)


def _on(hardware: str) -> str:
    return f" on {hardware}" if hardware else ""


def _data(record: dict[str, Any]) -> str:
    data = record["data"]
    name = registry.parse(data["dataset"])[0]
    sizes = [
        (split, f"{data['faces'][split]:,}", f"`{data['digest'][split]}`", *data["class_counts"][split].values())
        for split in SPLIT_NAMES
    ]
    copies = [(c["of"], c["in"], c["ids"], c["exact"], c["exact_or_near"]) for c in data["copies"]]
    return "\n\n".join(
        [
            f"`{data['dataset']}`. {LICENSES.get(name, OTHER_LICENSE)}",
            table(("split", "faces", "digest", *data["class_counts"]["train"]), sizes),
            "Faces that also occur in an earlier split: by name, with the same pixels, or as a near copy (thumbnails "
            f"with a correlation of {data['near_correlation']} or more):",
            table(("faces of", "in", "names", "exact", "exact or near"), copies),
        ]
    )


def _protocol(record: dict[str, Any]) -> str:
    training, config = record["training"], record["training"]["config"]
    name = registry.parse(record["data"]["dataset"])[0]
    official = f" ({', '.join(f'{k} = {v}' for k, v in SPLIT_NAMES.items())})" if name in OFFICIAL else ""
    view = (
        "The scores are of one central view of each face" if _views(record) == 1 else "The scores are of the whole face"
    )
    return (
        f"Trained on train for {config['epochs']} epochs with seed {training['seed']}. The epoch "
        f"({training['best_epoch']}), the temperature and all settings were chosen on validation; test was "
        f"scored once with the result{official}."
        f"{FACES_SCORED.get(name, '')} {view}, unless the mirror image is named."
        f"{_other_networks(config)}"
    )


def _other_networks(config: dict[str, Any]) -> str:
    start = f" Training started from the weights of `{config['start']}`." if config["start"] else ""
    taught = config["objective"].startswith("distillation")
    return start + (f" It was distilled from other networks: `{config['objective']}`." if taught else "")


def _scores(record: dict[str, Any]) -> str:
    names = {
        "validation": "validation", "test": "**test**", "test_flip": "test, mean of face and mirror image",
        "test_without_copies": "test, faces without a copy in train or validation",
    }  # fmt: skip
    rows = [
        (
            name, f"{s['faces']:,}", percent(s["accuracy"]), percent(s["macro_f1"]), percent(s["balanced_accuracy"]),
            f"{s['nll']:.4f}", f"{s['ece']:.4f}", f"{s['brier']:.4f}",
        )
        for name, s in ((n, record[key]) for key, n in names.items())
    ]  # fmt: skip
    calibration = [
        (split, f"{c['before']['ece']:.4f}", f"{c['after']['ece']:.4f}", f"{c['before']['nll']:.4f}",
         f"{c['after']['nll']:.4f}", f"{100 * c['after']['overconfidence']:+.2f}")
        for split, c in record["calibration"].items()
    ]  # fmt: skip
    parts = [
        table(("", "faces", "accuracy", "macro-F1", "balanced", "NLL", "ECE", "Brier"), rows),
        "Calibration before and after temperature scaling (ECE with 15 bins; confidence − accuracy in points):",
        table(("", "ECE before", "after", "NLL before", "after", "confidence − accuracy"), calibration),
    ]
    return "\n\n".join([*parts, *_prior(record.get("prior")), *_distribution(record.get("distribution"))])


def _prior(found: dict[str, Any] | None) -> list[str]:
    """Return the scores of answers that favor rare classes."""
    if found is None:
        return []
    rows = [
        (
            f"{v['strength']:g}",
            *(percent(s[name]) for s in (v, t) for name in ("accuracy", "balanced_accuracy", "macro_f1")),
        )
        for v, t in zip(found["validation"], found["test"], strict=True)
    ]
    best = max(found["validation"], key=lambda scores: scores["macro_f1"])
    shares = ", ".join(f"{name} {percent(share, 1)}" for name, share in found["shares"].items())
    return [
        f'Classes are not equally frequent in training (percent: {shares}). `prior="uniform"` takes that back, '
        "wholly with `strength=1` (logit adjustment, arXiv 2007.07314): rare classes are recognized more often, others "
        f"less often. Macro-F1 on validation is highest at {best['strength']:g}.",
        table(
            (
                "strength",
                "validation: accuracy",
                "mean recall",
                "macro-F1",
                "test: accuracy",
                "mean recall",
                "macro-F1",
            ),
            rows,
        ),
    ]


def _distribution(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    names = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "entropy_correlation")
    cells = [f"{found[n]:.4f}" if found[n] is not None else "–" for n in names]
    head = ("", "Chebyshev ↓", "Clark ↓", "Canberra ↓", "KL ↓", "cosine ↑", "intersection ↑", "entropy correlation ↑")
    return [
        f"Distance to the annotators' distributions on the {found['faces']:,} test faces that have one. For "
        f"{percent(found['named'])} % of them, at least one annotator chose the predicted class.",
        table(head, [("test", *cells)]),
    ]


def _classes(test: dict[str, Any]) -> str:
    classes = test["classes"]
    counts = dict(zip(classes, map(sum, test["confusion"]), strict=True))
    rows = [
        (c, counts[c], percent(test["recall"][c]), percent(test["precision"][c]), *row)
        for c, row in zip(classes, test["confusion"], strict=True)
    ]
    return (
        "Recall and precision on test, in percent, and the confusion matrix: a row for each true class, a column for "
        "each predicted class.\n\n" + table(("true class", "faces", "recall", "precision", *classes), rows)
    )


def _failures(record: dict[str, Any]) -> str:
    """List the weaknesses that follow from the numbers."""
    return "\n".join(f"- {text}" for text in [*_weak_classes(record["test"]), *_overall(record), NOT_MEASURED])


def _weak_classes(test: dict[str, Any]) -> list[str]:
    found = []
    for c, row in zip(test["classes"], test["confusion"], strict=True):
        faces, recall = sum(row), test["recall"][c]
        if recall is None:
            found.append(f"{c}: there is no test face, so nothing is known about it.")
            continue
        others = {o: n / faces for o, n in zip(test["classes"], row, strict=True) if o != c and n}
        worst = max(others, key=others.get, default=None)
        if recall < WEAK_RECALL or (worst and others[worst] >= LARGE_CONFUSION):
            mistaken = f"; {percent(others[worst], 1)} % are predicted as {worst}" if worst else ""
            width = f" ± {100 * half_width(recall, faces):.0f}" if faces < FEW else ""
            few = f" There are only {faces} test faces." if faces < FEW else ""
            found.append(f"{c}: {percent(recall, 1)}{width} % are recognized{mistaken}.{few}")
    return found


def _overall(record: dict[str, Any]) -> list[str]:
    test, new, after = record["test"], record["test_without_copies"], record["calibration"]["test"]["after"]
    gap, lean = test["accuracy"] - new["accuracy"], after["overconfidence"]
    found = [
        f"{test['faces'] - new['faces']} test faces have a copy in train or validation. Without them, accuracy is "
        f"{percent(new['accuracy'])} %, {abs(100 * gap):.2f} points {'lower' if gap > 0 else 'higher'}.",
    ]
    if abs(lean) >= 0.01:
        found.append(
            f"On test, the network is "
            f"{'over' if lean > 0 else 'under'}confident by {abs(100 * lean):.1f} points on average."
        )
    return found


def _reproduce(record: dict[str, Any]) -> str:
    training = record["training"]
    command = f"The command that was run:\n\n```sh\n{training['command']}\n```\n\n" if training["command"] else ""
    settings = json.dumps(training["config"], indent=1, ensure_ascii=False)
    versions = ", ".join(f"{k} {v}" for k, v in training["environment"].items() if not k.endswith("digest"))
    again = (
        f"Training took {training['minutes']:.0f} minutes{_on(training['hardware'])} ({versions}). These commands "
        "repeat the run from its settings and write this card:\n\n"
        f"```sh\n{reproduce(record['name'], bool(training['config']['data']))}\n```"
    )
    if _views(record) > 1:
        again = "This network was not trained: it averages crops of another one, whose card has the training."
    return (
        f"{command}{again}\n\n"
        "To check the scores of this file: `FER_TF_DATA=DIR python -m pytest -m real tests/publish`.\n\n"
        f"<details><summary>Settings</summary>\n\n```json\n{settings}\n```\n\n</details>\n\n"
        f"SHA-256 of the file: `{record['file']['sha256']}`. All numbers of this page: `{record['name']}.json`."
    )


def reproduce(name: str, needs_data: bool) -> str:
    """Return the commands that repeat the training and write the card again."""
    settings = "dict(c, data='DIR')" if needs_data else "c"
    return (
        'python -c "import json; from pathlib import Path; from fer_tf.training import config, run; '
        f"c = json.loads(Path('{name}.json').read_text())['training']['config']; "
        f"run.execute(config.RunConfig.from_json({settings}), Path('runs/again'))\"\n"
        f"python -m fer_tf.publish runs/again {name} --out cards{' --data DIR' if needs_data else ''}"
    )
