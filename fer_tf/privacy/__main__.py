"""Audit a trained network for membership inference: can its training faces be told from its answers?

Members are faces of the training split, non-members of the test split, as many of each in every class; all are scored
as they are, without augmentation. Thresholds on loss, confidence, entropy and modified entropy and learned attackers
need nothing else; shadow models and LiRA (arXiv 2112.03570) need --shadows N networks trained like the audited one,
each on half of the faces (hours for real data: an interrupted command continues).

examples:
  python -m fer_tf.privacy default --data DIR                     the shipped network, on what it was trained on
  python -m fer_tf.privacy runs/small_resnet/runs/resnet10-b133598e/model.keras --shadows 16 --shadow-epochs 20
  python -m fer_tf.privacy mine.keras --dataset fer2013 --data DIR --faces 2000
  python -m fer_tf.privacy --predictions answers.npz              any network's answers, made anywhere

--predictions takes an .npz file of
{format}
(probabilities and shadow_probabilities may stand for logits). Every audit writes one, predictions.npz.

The config.json in a run's folder says which faces the model.keras beside it saw, also with --limit and wrong labels.

Writes report.html, figures/, audit.json and predictions.npz. Learned attackers need scikit-learn:
pip install 'fer-tf[privacy]'.

exit codes: 0 done, 2 a mistake in the command"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.privacy import ATTACKS, SHADOW_ATTACKS, USUAL

if TYPE_CHECKING:
    from fer_tf.privacy.predictions import Predictions, Shadows
    from fer_tf.privacy.subject import AuditedFaces, Subject, Tables


def parser() -> argparse.ArgumentParser:
    """Make the command line's parser."""
    from fer_tf.privacy.predictions import FORMAT

    text = __doc__.format(format="\n".join(f"  {line}" for line in FORMAT.splitlines()))
    p = argparse.ArgumentParser(
        prog="python -m fer_tf.privacy", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = p.add_argument_group("what is audited").add_argument
    what("model", metavar="MODEL", nargs="?", help="a shipped name such as default, or the path of a .keras file")
    what("--predictions", type=Path, metavar="FILE", help="answers instead of a network")
    what("--dataset", metavar="NAME", help="call string of its dataset (default: what it was trained on)")
    what("--data", metavar="DIR", help="folder or file of the dataset (default: where it was)")
    what("--faces", type=int, metavar="N", help="at most N members and as many non-members (default: all)")
    how = p.add_argument_group("attacks").add_argument
    how("--attacks", nargs="+", metavar="NAME",
        help=f"of {', '.join(ATTACKS)}; call strings such as \"lira(fixed_variance=True)\" "
             f"(default: {', '.join(USUAL)}; with shadow models also {', '.join(SHADOW_ATTACKS)})")  # fmt: skip
    how("--resamples", type=int, default=1000, metavar="N", help="of the bootstrap; 0: none (default %(default)s)")
    how("--seed", type=int, default=0, help="of all draws (default %(default)s)")
    shadow = p.add_argument_group("shadow models").add_argument
    shadow("--shadows", type=int, default=0, metavar="N", help="train N, an even number (default: none)")
    shadow("--shadow-run", type=Path, metavar="PATH",
           help="how: a run's folder or its config.json (default: as MODEL was, where that is known)")  # fmt: skip
    shadow("--shadow-epochs", type=int, metavar="N", help="instead of the recipe's")
    p.add_argument("--out", type=Path, default=Path("runs") / "privacy", metavar="DIR", help="default %(default)s")
    return p


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    exit_on_user_error(run, options)


def run(options: argparse.Namespace) -> int:
    """Audit, print a table, write the files."""
    _check(options)
    from fer_tf.io import atomic
    from fer_tf.privacy import audit, report

    with atomic.folder_lock(options.out):
        predictions, about = _from_file(options) if options.predictions else _from_network(options)
        attacks = audit.audit(predictions, options.attacks, options.seed, options.resamples)
        record = {**about, "seed": options.seed, **audit.summary(predictions, attacks)}
        written = report.write(predictions, attacks, record, options.out, about["subject"])
    print(report.overall_table(attacks).to_string(index=False))
    print(report.verdict(record))
    for path in written:
        print(f"wrote {path}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Fail before any work."""
    from fer_tf.privacy.audit import chosen_attacks

    if bool(options.model) == bool(options.predictions):
        raise UserError("Give a MODEL, or --predictions FILE: one of the two.")
    for name, low in (("faces", 2), ("resamples", 0), ("shadows", 0), ("shadow_epochs", 1), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < low:
            raise UserError(f"--{name.replace('_', '-')} {value}: expected {low} or more.")
    if options.shadows % 2:
        raise UserError(f"--shadows {options.shadows}: expected an even number, since pairs share the faces.")
    if options.predictions:
        for name in ("dataset", "data", "shadows", "shadow_run", "shadow_epochs"):
            if getattr(options, name):
                raise UserError(f"--{name.replace('_', '-')} needs a network; with --predictions there is none.")
    chosen = chosen_attacks(options.attacks, bool(options.shadows or options.predictions))
    if any(ATTACKS.resolve(name)[0].target.startswith("fer_tf.privacy.attackers") for name in chosen):
        from fer_tf.privacy.attackers import require

        require()


def _from_file(options: argparse.Namespace) -> "tuple[Predictions, dict]":
    from fer_tf.privacy import draws, predictions

    found = predictions.read(options.predictions)
    rows = draws.balanced(found.labels, found.member, options.faces, options.seed)
    return found.take(rows), {"subject": options.predictions.name}


def _from_network(options: argparse.Namespace) -> "tuple[Predictions, dict]":
    from dataclasses import replace

    from fer_tf.privacy import subject as subjects

    subject = subjects.load_subject(options.model, options.dataset, options.data)
    tables = subjects.tables_of(subject)
    faces = subjects.audited_faces(tables.members, tables.test, options.faces, options.seed)
    predictions = subjects.answers(subject.network, faces)
    config = subject.config
    about = {
        "subject": subject.name,
        "dataset": config.dataset,
        "limit": config.limit,
        "label_noise": config.label_noise,
    }
    if options.shadows:
        shadows, recipe = _shadows(options, subject, tables, faces)
        predictions, about = replace(predictions, shadows=shadows), {**about, "shadow_recipe": recipe}
    return predictions, about


def _shadows(
    options: argparse.Namespace, subject: "Subject", tables: "Tables", faces: "AuditedFaces"
) -> "tuple[Shadows, dict]":
    from fer_tf.privacy import shadows
    from fer_tf.privacy.subject import config_at

    if not options.shadow_run and not subject.trained:
        raise UserError(f"{subject.name} does not say how it was trained. Give --shadow-run RUN_DIR for its shadows.")
    recipe = config_at(options.shadow_run) if options.shadow_run else subject.config
    runs = shadows.configs(recipe, options.shadows, options.shadow_epochs)
    out = options.out / "shadows"
    sys.stderr.write(f"training {len(runs)} shadow models into {out}\n")
    ids, seen = shadows.train(runs, tables.train, tables.validation, tables.test, out)
    place = {name: row for row, name in enumerate(ids.tolist())}
    of_audited = seen[:, [place[name] for name in faces.ids.tolist()]]
    told = shadows.answers(runs, out, faces.images, of_audited, subject.network.metadata.temperature)
    return told, runs[0].to_json()


if __name__ == "__main__":
    main()
