"""Does the network know when it does not know? Calibration, conformal sets and refusing, where taggers disagree or not.

  python experiments/uncertainty.py --quick                                          built-in faces, half a minute
  python experiments/uncertainty.py --dataset fer2013 --data DIR                     the shipped network, a minute
  python experiments/uncertainty.py --dataset fer2013 --data DIR --model a.keras --model b.keras --model c.keras
                                                                                     an ensemble of three

Nothing is trained. On validation a temperature is fitted (arXiv 1706.04599), and it is measured how strange the right
class may look, so that sets of classes hold it for a share of 1 − ALPHA of all new faces (split conformal prediction:
LAC arXiv 1609.00451, APS arXiv 2006.02544, RAPS arXiv 2009.14193; "by class" promises it to each class by itself).
Whether they do is measured on test, also for quartiles of the entropy of ten taggers' votes: those of the dataset, and
for FER2013 those of FER+, row by row, where fer2013new.csv lies beside it. "risk over coverage" is the share of wrong
answers when only the surest faces are answered for; AURC is the area below it, its excess what a perfect order would
save. Networks that are calibrated on the faces that chose their epoch look a little better there than on test.

Writes calibration.csv, sets.csv, rejection.csv, faces.csv (a row a test face), figures/ and report.html.
Figures: experiments/results/uncertainty.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.errors import DataError, UserError, exit_on_user_error

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from matplotlib.figure import Figure

    from fer_tf.evaluation.uncertainty import SplitPredictions
    from fer_tf.facetable import FaceTable

QUICK_FACES, POINTS = 900, 40


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dataset", metavar="NAME", help="call string (default: built-in faces)")
    p.add_argument("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    p.add_argument("--model", action="append", metavar="FILE",
                   help="a shipped network or a .keras file; repeatable (default: the shipped one)")  # fmt: skip
    p.add_argument("--mean-of", default="probabilities", metavar="WHAT",
                   help="how several networks become one: probabilities or logits (default %(default)s)")  # fmt: skip
    p.add_argument("--view", default="center", help="center, flip or ten_crop (default %(default)s)")
    p.add_argument("--alpha", type=float, default=0.1,
                   help="share of sets that may miss the right class (default %(default)s)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="draws what APS and RAPS draw (default %(default)s)")
    p.add_argument("--limit", type=int, metavar="N", help="use at most N faces of each split")
    p.add_argument("--quick", action="store_true", help=f"{QUICK_FACES} built-in faces")
    p.add_argument("--out", type=Path, default=Path("runs") / "uncertainty", metavar="DIR", help="default %(default)s")
    return p


def check(options: argparse.Namespace) -> None:
    """Refuse what would fail only after the networks were asked."""
    from fer_tf.errors import unknown_name
    from fer_tf.evaluation.ensemble import MEANS

    if not 0 < options.alpha < 1:
        raise UserError(f"--alpha {options.alpha} is out of range. Expected a number between 0 and 1, such as 0.1.")
    if options.mean_of not in MEANS:
        raise unknown_name("mean of an ensemble", options.mean_of, MEANS)
    if options.limit is not None and options.limit < 2:
        raise UserError(f"--limit {options.limit} gives no table. Expected at least 2.")
    if options.quick and options.dataset:
        raise UserError("--quick has faces of its own. Leave --dataset out, or give --limit instead.")


def read(options: argparse.Namespace, network: "keras.Model") -> dict[str, "FaceTable"]:
    """Return validation and test faces over the network's classes, with votes where there are any."""
    import numpy as np

    from fer_tf import datasets
    from fer_tf.facetable import converted
    from fer_tf.models import metadata_of

    name = options.dataset or (f"synthetic(faces={QUICK_FACES})" if options.quick else "synthetic")
    table = with_votes(datasets.get(name, options.data), options.data)
    tables = {}
    for split in ("validation", "test"):
        part = converted(table.select(split), metadata_of(network).label_set)
        if options.limit and options.limit < len(part):
            part = part.take(np.linspace(0, len(part), options.limit, endpoint=False).astype(int))
        tables[split] = part
    return tables


def with_votes(table: "FaceTable", data: str | None) -> "FaceTable":
    """Give FER2013's faces the votes of FER+, where its file is there; NaN for faces that FER+ has none of."""
    import numpy as np

    from fer_tf import datasets

    if table.votes is not None or table.label_set.name != "fer2013" or data is None:
        return table
    try:
        voted = datasets.get("ferplus(evaluation='cross_entropy', mode='cross_entropy')", data)
    except DataError:
        return table
    row_of = {name: row for row, name in enumerate(voted.ids.tolist())}
    rows = np.array([row_of.get(name, -1) for name in table.ids.tolist()])
    votes = np.full((len(table), voted.votes.shape[1]), np.nan, np.float32)
    votes[rows >= 0] = voted.votes[rows[rows >= 0]]
    return replace(table, votes=votes)


def ask(options: argparse.Namespace) -> tuple[dict[str, "FaceTable"], dict[str, "SplitPredictions"]]:
    """Ask all networks about both splits."""
    import numpy as np

    from fer_tf import models
    from fer_tf.evaluation.ensemble import check_classes, member_logits
    from fer_tf.evaluation.uncertainty import SplitPredictions
    from fer_tf.progress import bar

    networks = [models.load_model(name) for name in options.model or ["default"]]
    check_classes(networks)
    tables, answers = read(options, networks[0]), {}
    with bar(2 * len(networks), "Asking", "network") as ticks:
        for split, table in tables.items():
            members = []
            for network in networks:
                members.append(member_logits([network], table.images, options.view))
                ticks.update()
            answers[split] = SplitPredictions(np.concatenate(members), table.targets, options.mean_of)
    return tables, answers


def figures_of(
    found: dict[str, "pd.DataFrame"], before: "SplitPredictions", after: "SplitPredictions", alpha: float
) -> list:
    """Return headings and figures."""
    import numpy as np
    import pandas as pd

    from fer_tf.evaluation.uncertainty import confidences, reliability_lines
    from fer_tf.metrics.selective import risk_coverage
    from fer_tf.reports import figures

    reliability = figures.lines(reliability_lines(before, after), "confidence, %", "accuracy on test, %")
    count = len(after.labels)
    rows = np.unique(np.ceil(np.linspace(0.05, 1, POINTS) * count).astype(int)) - 1
    risks = {name: risk_coverage(values, after.right)[1] for name, values in confidences(after).items()}
    kept = pd.DataFrame({name: 100 * (1 - risk[rows]) for name, risk in risks.items()}, 100 * (rows + 1) / count)
    answering = figures.lines(kept, "faces answered for, %", "accuracy of them, %")
    pictures = [("Reliability", reliability), ("Accuracy over answers", answering)]
    return [*pictures, *_by_group(found["sets"], alpha)]


def _by_group(sets: "pd.DataFrame", alpha: float) -> list[tuple[str, "Figure"]]:
    from fer_tf.reports import figures

    alike = sets[sets["scope"] == "all"]
    columns = ("coverage", "size", "faces")
    grid = {c: alike.pivot_table(index="group", columns="score", values=c, sort=False) for c in columns}
    if len(grid["size"]) < 2:
        return []
    error = 100 * (grid["coverage"] * (1 - grid["coverage"]) / grid["faces"]) ** 0.5
    promised = dict.fromkeys(error.index, 100 * (1 - alpha))
    coverage = figures.dots(
        100 * grid["coverage"], error, "sets with the right class, %", marks=promised, mark_name="promised"
    )
    size = figures.dots(grid["size"], 0 * grid["size"], "classes in a set")
    return [("Coverage by disagreement", coverage), ("Size by disagreement", size)]


def tables_of(
    options: argparse.Namespace, tables: dict[str, "FaceTable"], answers: dict[str, "SplitPredictions"]
) -> tuple[dict[str, "pd.DataFrame"], "SplitPredictions"]:
    """Return the study's tables by file name, and the test answers after the temperature."""
    from fer_tf.evaluation import uncertainty
    from fer_tf.metrics.calibration import fit_temperature

    temperature = fit_temperature(answers["validation"].log_probabilities, answers["validation"].targets)
    after = {split: replace(a, temperature=temperature) for split, a in answers.items()}
    entropy = uncertainty.vote_entropy(tables["test"])
    groups = uncertainty.quartiles(entropy, len(tables["test"]))
    sets = uncertainty.chosen_sets(after["validation"], after["test"], options.alpha, options.seed)
    both = {"as it is": answers, "after the temperature": after}
    rows = {f"{split}, {when}": a[split] for split in after for when, a in both.items()}
    rows |= _alone(options, answers)
    return {
        "calibration": uncertainty.calibration_table(rows),
        "sets": uncertainty.sets_table(sets, after["test"], groups),
        "rejection": uncertainty.rejection_table(after["test"]),
        "faces": uncertainty.faces_table(tables["test"], after["test"], sets, entropy),
    }, after["test"]


def _alone(options: argparse.Namespace, answers: dict[str, "SplitPredictions"]) -> dict[str, "SplitPredictions"]:
    """Return the answers of each network of an ensemble by itself."""
    test, names = answers["test"], options.model or []
    if len(names) < 2:
        return {}
    return {f"test, {n} alone": replace(test, members=test.members[i : i + 1]) for i, n in enumerate(names)}


def readable(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table for people: shares in percent."""
    shares = ("accuracy", "confidence", "ece", "coverage", "single", "empty", "worst_class", "aurc", "excess")
    names = [c for c in frame if c in shares or c.startswith("accuracy of")]
    return frame.assign(**{c: 100 * frame[c] for c in names}).rename(columns={c: f"{c} %" for c in names}).round(3)


def main() -> None:
    from fer_tf.io import atomic
    from fer_tf.reports import page

    options = parser().parse_args()
    check(options)
    tables, answers = ask(options)
    found, after = tables_of(options, tables, answers)
    for name, frame in found.items():
        with atomic.atomic_write(options.out / f"{name}.csv") as part:
            frame.to_csv(part, index=False)
    written = [f"{name}.csv" for name in found]
    shown = {name: readable(found[name]) for name in ("calibration", "sets", "rejection")}
    sections = [(f"Table of {name}", page.table(frame)) for name, frame in shown.items()]
    for heading, figure in figures_of(found, answers["test"], after, options.alpha):
        sections.append((heading, page.picture(figure, heading)))
        written.append(f"figures/{heading.lower().replace(' ', '_')}.png")
        with atomic.atomic_write(options.out / written[-1]) as part:
            figure.savefig(part, dpi=120)
    atomic.write_text(options.out / "report.html", page.page("Uncertainty", _note(options, tables), sections))
    for frame in shown.values():
        print(frame.to_string(index=False), end="\n\n")
    for name in (*written, "report.html"):
        print(f"wrote {options.out / name}")


def _note(options: argparse.Namespace, tables: dict[str, "FaceTable"]) -> str:
    who = ", ".join(Path(m).name for m in options.model or ["the shipped network"])
    return (
        f"{who} on {options.dataset or 'built-in faces'}: temperature and sets are calibrated on "
        f"{len(tables['validation'])} validation faces and measured on {len(tables['test'])} test faces. Sets promise "
        f"{100 * (1 - options.alpha):g} %. Entropy of the taggers' votes in nats, ECE and AURC in hundredths."
    )


if __name__ == "__main__":
    exit_on_user_error(main)
