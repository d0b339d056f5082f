"""Implement ``fer-tf privacy``."""

import argparse
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# ``privacy.networks`` and ``privacy.report`` import TensorFlow and matplotlib at their first use, after the checks.
from fer_tf import privacy
from fer_tf.errors import UserError, printable
from fer_tf.io import atomic
from fer_tf.privacy import ATTACKS, SHADOW_ATTACKS, USUAL, audit
from fer_tf.privacy.attacks import require_sklearn
from fer_tf.privacy.predictions import FORMAT, Predictions, ShadowPredictions, balanced_rows, read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_tf.privacy.networks import AuditedFaces, AuditTables
    from fer_tf.training.config import RunConfig

DESCRIPTION = """Audit a network for membership inference: do its predictions reveal which faces it was trained on?

Members are faces of the training split, non-members faces of the test split, as many of each in every class, without
augmentation. The thresholds on loss, confidence, entropy and modified entropy, and the learned attackers, need nothing
else. Shadow models and LiRA (arXiv 2112.03570) need --shadows N networks that are trained like the audited one, each on
half of the faces. That takes hours for real data; an interrupted command continues."""

EXAMPLES = f"""examples:
  fer-tf privacy default --data DIR                      a shipped network, on what it was trained on
  fer-tf privacy runs/small_resnet/runs/resnet10-b133598e/model.keras --shadows 16 --shadow-epochs 20
  fer-tf privacy mine.keras --dataset fer2013 --data DIR --faces 2000
  fer-tf privacy --predictions predictions.npz           the predictions of any network

files:
  The command writes report.html, figures/, audit.json and predictions.npz into --out.
  --predictions reads an .npz file with these arrays; probabilities and shadow_probabilities may replace logits.
{textwrap.indent(FORMAT, "    ")}

The config.json beside a model.keras of a run says which faces the network was trained on, also with --limit and flipped
labels. Learned attackers need scikit-learn: pip install 'fer-tf[privacy]'

exit codes: 0 done, 2 a mistake in the command, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_argument_group("what is audited").add_argument
    what("model", metavar="MODEL", nargs="?", help="name of a shipped model, such as default, or a .keras file")
    what("--predictions", type=Path, metavar="FILE", help="predictions in place of a network")
    what("--dataset", metavar="NAME", help="call string of its dataset (default: the one it was trained on)")
    what("--data", metavar="DIR", help="folder or file of the dataset (default: as in the training)")
    what("--faces", type=int, metavar="N", help="use at most N members and N non-members (default: all)")
    how = parser.add_argument_group("attacks").add_argument
    how("--attacks", nargs="+", metavar="NAME",
        help=f"of {', '.join(ATTACKS)}; call strings such as \"lira(fixed_variance=True)\" "
             f"(default: {', '.join(USUAL)}; with shadow models also {', '.join(SHADOW_ATTACKS)})")  # fmt: skip
    how("--resamples", type=int, default=1000, metavar="N",
        help="of the bootstrap; 0: no intervals (default %(default)s)")  # fmt: skip
    how("--seed", type=int, default=0, help="of all random draws (default %(default)s)")
    shadow = parser.add_argument_group("shadow models").add_argument
    shadow("--shadows", type=int, default=0, metavar="N", help="train N shadow models, an even number (default: none)")
    shadow("--shadow-run", type=Path, metavar="PATH",
           help="train them as this run: its folder or config.json (default: as MODEL, if known)")  # fmt: skip
    shadow("--shadow-epochs", type=int, metavar="N", help="epochs (default: as in the run)")
    parser.add_argument("--out", type=Path, default=Path("runs") / "privacy", metavar="DIR", help="default %(default)s")


def run(options: argparse.Namespace) -> int:
    """Audit, print a table, write the files."""
    _check(options)
    with atomic.folder_lock(options.out):
        predictions, about = _from_file(options) if options.predictions else _from_network(options)
        results = audit.audit_predictions(predictions, options.attacks, options.seed, options.resamples)
        record = {**about, "seed": options.seed, **audit.summarize(predictions, results)}
        written = privacy.report.write_report(predictions, results, record, options.out, about["subject"])
    print(privacy.report.overall_table(results).to_string(index=False))
    print(privacy.report.verdict(record))
    for path in written:
        print(f"wrote {printable(path)}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot work, before any work."""
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
    chosen = audit.choose_attacks(options.attacks, bool(options.shadows or options.predictions))
    if any(audit.needs(name, "attacker") for name in chosen):
        require_sklearn()


def _from_file(options: argparse.Namespace) -> tuple[Predictions, dict[str, Any]]:
    found = read_predictions(options.predictions)
    rows = balanced_rows(found.labels, found.member, options.faces, options.seed)
    return found.take(rows), {"subject": options.predictions.name}


def _from_network(options: argparse.Namespace) -> tuple[Predictions, dict[str, Any]]:
    networks = privacy.networks
    audited = networks.load_audited_model(options.model, options.dataset, options.data)
    tables = networks.load_tables_of(audited)
    faces = networks.draw_faces(tables.members, tables.test, options.faces, options.seed)
    predictions, config = networks.predict_faces(audited.network, faces), audited.config
    about = {"subject": audited.name, **{key: getattr(config, key) for key in ("dataset", "limit", "label_noise")}}
    if options.shadows:
        if not options.shadow_run and not audited.trained:
            raise UserError(
                f"{audited.name} does not say how it was trained. Give --shadow-run RUN_DIR for its shadow models."
            )
        recipe = networks.read_config(options.shadow_run) if options.shadow_run else config
        runs = networks.shadow_configs(recipe, options.shadows, options.shadow_epochs)
        shadows = _shadows(runs, options.out / "shadows", tables, faces, audited.network.metadata.temperature)
        predictions, about = replace(predictions, shadows=shadows), {**about, "shadow_recipe": runs[0].to_json()}
    return predictions, about


def _shadows(
    runs: "Sequence[RunConfig]", out: Path, tables: "AuditTables", faces: "AuditedFaces", temperature: float
) -> ShadowPredictions:
    """Train the shadow models into ``out``, and return their predictions for the audited faces."""
    sys.stderr.write(f"training {len(runs)} shadow models into {out}\n")
    ids, seen = privacy.networks.train_shadows(runs, tables.train, tables.validation, tables.test, out)
    place = {name: row for row, name in enumerate(ids.tolist())}
    of_audited = seen[:, [place[name] for name in faces.ids.tolist()]]
    return privacy.networks.predict_shadows(runs, out, faces.images, of_audited, temperature)
