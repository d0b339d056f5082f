"""Measure calibration, conformal sets and rejection of trained networks.

  python experiments/uncertainty.py --quick                                          built-in faces, half a minute
  python experiments/uncertainty.py --dataset fer2013 --data DIR                     the shipped network, a minute
  python experiments/uncertainty.py --dataset fer2013 --data DIR --model a.keras --model b.keras        an ensemble

On validation a temperature (arXiv 1706.04599) and thresholds of conformal sets are fitted, which should hold the right
class of a share of 1 − ALPHA of all new faces (LAC arXiv 1609.00451, APS arXiv 2006.02544, RAPS arXiv 2009.14193).
Whether they do is measured on test, also for quartiles of the entropy of ten annotators' votes: those of the dataset,
and for FER2013 those of FER+, where fer2013new.csv lies beside it. Expected on FER+ (shipped network): sets of 90 %
hold the right class of 89.3 to 90.6 % of the faces, and of 72 to 87 % where annotators disagree most. Figures:
experiments/results/uncertainty.md.
"""

import argparse
from pathlib import Path

import numpy as np

from fer_tf import datasets, evaluation, models, reports
from fer_tf.datasets.ferplus import with_votes
from fer_tf.errors import UserError, exit_on_user_error, unknown_name
from fer_tf.facetable import FaceTable, converted
from fer_tf.inference import sources
from fer_tf.io import atomic
from fer_tf.progress import bar

QUICK_FACES = 900


def parser() -> argparse.ArgumentParser:
    """Create the argument parser."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dataset", metavar="NAME", help="call string (default: built-in faces)")
    p.add_argument("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    p.add_argument("--model", action="append", metavar="FILE", help="repeatable (default: the shipped network)")
    p.add_argument("--mean-of", default="probabilities", metavar="WHAT", help="or logits (default %(default)s)")
    p.add_argument("--view", default="center", help="center, flip or ten_crop (default %(default)s)")
    p.add_argument("--alpha", type=float, default=0.1, help="share of sets that may miss (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of the random numbers of APS and RAPS (default %(default)s)")
    p.add_argument("--limit", type=int, metavar="N", help="use at most N faces of each split")
    p.add_argument("--quick", action="store_true", help=f"{QUICK_FACES} built-in faces")
    p.add_argument("--out", type=Path, default=Path("runs") / "uncertainty", metavar="DIR", help="default %(default)s")
    return p


def check(options: argparse.Namespace) -> None:
    """Refuse what would fail only after the networks were asked."""
    if not 0 < options.alpha < 1:
        raise UserError(f"--alpha {options.alpha} is out of range. Expected a number between 0 and 1, such as 0.1.")
    if options.mean_of not in evaluation.uncertainty.MEANS:
        raise unknown_name("mean of an ensemble", options.mean_of, evaluation.uncertainty.MEANS)
    if options.limit is not None and options.limit < 2:
        raise UserError(f"--limit {options.limit} gives no table. Expected at least 2.")
    if options.quick and options.dataset:
        raise UserError("--quick has faces of its own. Leave --dataset out, or give --limit instead.")


def ask(
    options: argparse.Namespace,
) -> "tuple[dict[str, FaceTable], dict[str, evaluation.uncertainty.SplitPredictions]]":
    """Return validation and test faces, with votes where there are any, and the networks' predictions for them."""
    networks = [models.load_model(name) for name in options.model or ["default"]]
    evaluation.uncertainty.check_classes(networks)
    name = options.dataset or (f"synthetic(faces={QUICK_FACES})" if options.quick else "synthetic")
    table, tables, answers = with_votes(datasets.get(name, options.data), options.data), {}, {}
    with bar(2, "Asking", "split") as ticks:
        for split in ("validation", "test"):
            part = converted(table.select(split), models.metadata_of(networks[0]).label_set)
            if options.limit and options.limit < len(part):
                part = part.take(np.linspace(0, len(part), options.limit, endpoint=False).astype(int))
            predictions = evaluation.uncertainty.SplitPredictions
            logits = evaluation.member_logits(networks, part.images, options.view)
            tables[split], answers[split] = part, predictions(logits, part.targets, options.mean_of)
            ticks.update()
    return tables, answers


def main() -> None:
    """Ask the networks; write tables, figures and the page."""
    options = parser().parse_args()
    check(options)
    page, (tables, answers) = reports.results_page, ask(options)
    found, after = evaluation.uncertainty.uncertainty_tables(
        tables, answers, options.alpha, options.seed, options.model or ()
    )
    written, sections = [f"{name}.csv" for name in found], []
    for name, frame in found.items():
        with atomic.atomic_write(options.out / f"{name}.csv") as part:
            frame.to_csv(part, index=False)
        if name != "faces":
            sections.append((f"Table of {name}", page.table(reports.audits.readable(frame))))
            print(reports.audits.readable(frame).to_string(index=False), end="\n\n")
    for heading, figure in reports.audits.uncertainty_figures(found["sets"], answers["test"], after, options.alpha):
        sections.append((heading, page.picture(figure, heading)))
        written.append(f"figures/{heading.lower().replace(' ', '_')}.png")
        sources.save_figure(figure, options.out / written[-1])
    who = ", ".join(Path(m).name for m in options.model or ["the shipped network"])
    note = (
        f"{who} on {options.dataset or 'built-in faces'}, calibrated on {len(tables['validation'])} validation faces, "
        f"measured on {len(tables['test'])} test faces. Sets promise {100 * (1 - options.alpha):g} %. Entropy of the "
        "votes in nats, ECE and AURC in hundredths."
    )
    atomic.write_text(options.out / "report.html", page.page("Uncertainty", note, sections))
    for name in (*written, "report.html"):
        print(f"wrote {options.out / name}")


if __name__ == "__main__":
    exit_on_user_error(main)
