"""The model card: a shipped network's record as a page of Markdown that somebody reads before using it."""

import json
import math
from collections.abc import Sequence
from typing import Any

from fer_tf import callstring
from fer_tf.pretrained import words

# Of a class with fewer test faces, the card says that its recall is hardly known.
FEW = 50
WEAK_RECALL, LARGE_CONFUSION = 0.6, 0.15
SPLIT_NAMES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def render(record: dict[str, Any]) -> str:
    """Return the card of a record that ``shipping.ship`` made, as Markdown."""
    sections = [
        (f"# {record['name']}", _summary(record)),
        ("## Use", words.USE),
        ("## Do not use", words.MISUSE),
        ("## Data and licences", _data(record)),
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
    """Return a share as percent, a dash for none."""
    return "–" if share is None else f"{100 * share:.{decimals}f}"


def half_width(share: float, faces: int) -> float:
    """Return half the 95 % interval of a share of so many faces."""
    return 1.96 * math.sqrt(share * (1 - share) / faces)


def _summary(record: dict[str, Any]) -> str:
    network, test = record["network"], record["test"]
    side = "×".join(map(str, network["input"]))
    seen = f"mean of {_views(record)} crops inside the network" if _views(record) > 1 else "single view"
    return (
        f"A face of {network['face_size']}×{network['face_size']} pixels in, probabilities of "
        f"{', '.join(network['classes'])} out. Test accuracy, {seen}: **{percent(test['accuracy'])} %** "
        f"(±{100 * half_width(test['accuracy'], test['faces']):.1f}, {test['faces']:,} faces), macro-F1 "
        f"{percent(test['macro_f1'])}.\n\n"
        + table(
            ("", "value"),
            [
                ("network", f"`{network['model']}`, input {side}"),
                ("parameters", f"{network['parameters']:,} (and {network['non_trainable']:,} statistics)"),
                ("multiply-accumulates a face", f"{network['macs']:,}"),
                ("file", f"{record['file']['name']}, {record['file']['bytes'] / 1e6:.2f} MB"),
                ("one face, compiled", f"{network['milliseconds']:.2f} ms{_on(network['hardware'])}"),
                ("temperature", f"{network['temperature']:.4f}, in the file; `ExpressionClassifier` divides by it"),
            ],
        )
    )


def _views(record: dict[str, Any]) -> int:
    return record["network"].get("views", 1)


def _on(hardware: str) -> str:
    return f" on {hardware}" if hardware else ""


def _data(record: dict[str, Any]) -> str:
    data = record["data"]
    name = callstring.parse(data["dataset"])[0]
    sizes = [
        (split, f"{data['faces'][split]:,}", f"`{data['digest'][split]}`", *data["class_counts"][split].values())
        for split in SPLIT_NAMES
    ]
    copies = [(c["of"], c["in"], c["ids"], c["exact"], c["exact_or_near"]) for c in data["copies"]]
    return "\n\n".join(
        [
            f"`{data['dataset']}`. {words.LICENCES.get(name, words.OTHER_LICENCE)}",
            table(("split", "faces", "digest", *data["class_counts"]["train"]), sizes),
            "Faces that an earlier split has too (by name; with the same pixels; the same or nearly the same "
            f"photograph, thumbnails correlating from {data['near_correlation']} on):",
            table(("faces of", "in", "names", "exact", "exact or near"), copies),
        ]
    )


def _protocol(record: dict[str, Any]) -> str:
    training, config = record["training"], record["training"]["config"]
    name = callstring.parse(record["data"]["dataset"])[0]
    official = f" ({', '.join(f'{k} = {v}' for k, v in SPLIT_NAMES.items())})" if name in words.OFFICIAL else ""
    view = "One central view of each face" if _views(record) == 1 else "The whole face"
    return (
        f"Trained on train, epochs: {config['epochs']}, seed {training['seed']}. Epoch {training['best_epoch']}, the "
        f"temperature and every setting were chosen on validation, and test was scored with the result{official}."
        f"{words.FACES_SCORED.get(name, '')} {view} unless its mirror is named."
        f"{_other_networks(config)}"
    )


def _other_networks(config: dict[str, Any]) -> str:
    start = f" Its weights began as those of `{config['start']}`." if config["start"] else ""
    taught = config["objective"].startswith("distillation")
    return start + (f" Other networks taught it: `{config['objective']}`." if taught else "")


def _scores(record: dict[str, Any]) -> str:
    names = {
        "validation": "validation", "test": "**test**", "test_flip": "test, mean of face and mirror",
        "test_without_copies": "test, faces without copy in train or validation",
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
        "Calibration, before and after the temperature (ECE in 15 bins; confidence less accuracy in points):",
        table(("", "ECE before", "after", "NLL before", "after", "confidence − accuracy"), calibration),
    ]
    return "\n\n".join([*parts, *_distribution(record.get("distribution"))])


def _distribution(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    names = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "entropy_correlation")
    cells = [f"{found[n]:.4f}" if found[n] is not None else "–" for n in names]
    head = ("", "Chebyshev ↓", "Clark ↓", "Canberra ↓", "KL ↓", "cosine ↑", "intersection ↑", "entropy correlation ↑")
    return [
        f"Against the taggers' distributions, on the {found['faces']:,} test faces that have one. For "
        f"{percent(found['named'])} % of them the most probable class is one that taggers named.",
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
        "Test faces. Recall and precision are in percent; then, how many faces of the row's class were called what.\n\n"
        + table(("true class", "faces", "recall", "precision", *classes), rows)
    )


def _failures(record: dict[str, Any]) -> str:
    """List what the numbers say is weak."""
    return "\n".join(f"- {text}" for text in [*_weak_classes(record["test"]), *_overall(record), words.NOT_MEASURED])


def _weak_classes(test: dict[str, Any]) -> list[str]:
    found = []
    for c, row in zip(test["classes"], test["confusion"], strict=True):
        faces, recall = sum(row), test["recall"][c]
        if recall is None:
            found.append(f"No test face is {c}: nothing is known of it.")
            continue
        others = {o: n / faces for o, n in zip(test["classes"], row, strict=True) if o != c and n}
        worst = max(others, key=others.get, default=None)
        if recall < WEAK_RECALL or (worst and others[worst] >= LARGE_CONFUSION):
            mistaken = f"; {percent(others[worst], 1)} % are called {worst}" if worst else ""
            width = f" ± {100 * half_width(recall, faces):.0f}" if faces < FEW else ""
            few = f" It has only {faces} test faces." if faces < FEW else ""
            found.append(f"Of {c}, {percent(recall, 1)}{width} % are found{mistaken}.{few}")
    return found


def _overall(record: dict[str, Any]) -> list[str]:
    test, new, after = record["test"], record["test_without_copies"], record["calibration"]["test"]["after"]
    gap, lean = test["accuracy"] - new["accuracy"], after["overconfidence"]
    found = [
        f"{test['faces'] - new['faces']} test faces have a copy in train or validation. Without them accuracy is "
        f"{percent(new['accuracy'])} %, {abs(100 * gap):.2f} points {'lower' if gap > 0 else 'higher'}.",
    ]
    if abs(lean) >= 0.01:
        found.append(
            f"On test it is {'over' if lean > 0 else 'under'}confident by {abs(100 * lean):.1f} points on average."
        )
    return found


def _reproduce(record: dict[str, Any]) -> str:
    training = record["training"]
    command = f"```sh\n{training['command']}\n```\n\n" if training["command"] else ""
    settings = json.dumps(training["config"], indent=1, ensure_ascii=False)
    versions = ", ".join(f"{k} {v}" for k, v in training["environment"].items() if not k.endswith("digest"))
    again = (
        f"{training['minutes']:.0f} minutes of training{_on(training['hardware'])} ({versions}). The same run from its "
        "settings, and this card from the run:\n\n"
        f"```sh\n{words.reproduce(record['name'], bool(training['config']['data']))}\n```"
    )
    if _views(record) > 1:
        again = "Nothing was trained for it: the card of the network whose crops it averages says how that was."
    return (
        f"{command}{again}\n\n"
        "The scores again from the shipped file: `FER_TF_DATA=DIR python -m pytest -m real tests/pretrained`.\n\n"
        f"<details><summary>Settings</summary>\n\n```json\n{settings}\n```\n\n</details>\n\n"
        f"`sha256` of the file: `{record['file']['sha256']}`. All numbers of this page: `{record['name']}.json`."
    )
