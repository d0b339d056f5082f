"""The parts of a model card that no number decides."""

USE = (
    "Research on facial expression recognition, teaching, prototypes, and as a baseline or a start for training on "
    "your own faces. It names the expression that people would see in a photograph, which is not what the person in it "
    "feels. Feed it faces framed as FER2013 frames them: `python -m fer_tf.faces crop` cuts them out of photographs, "
    "`fer_tf.inference.classifier.ExpressionClassifier` gives probabilities, and `fer_tf.load_model` the network."
)
MISUSE = (
    "To decide or advise on people: hiring, schools, credit, policing, border control, health, lie detection, "
    "surveillance, advertising to a person's mood. To tell what somebody feels or intends. On people who have not "
    "agreed to it. In workplaces and schools of the European Union such use is forbidden (Regulation (EU) 2024/1689, "
    "article 5(1)(f)), medical and safety reasons apart. It was not tested for fairness between groups of people: the "
    "data say neither age, nor gender, nor origin of anybody."
)
FER2013 = (
    "FER2013 (Goodfellow et al. 2013, arXiv 1307.0414): 48×48 gray faces that an image search found, collected for a "
    "research contest. The pictures have no licence of their own and are for research; none of them is in this package."
)
LICENCES = {
    "fer2013": FER2013 + " Its single labels are noisy: people agree with about two thirds of them.",
    "ferplus": FER2013
    + " FER+ (Barsoum et al. 2016, arXiv 1608.01041): ten taggers' votes on each of these faces, MIT licence, "
    "copyright Microsoft.",
    "synthetic": "Drawn faces of this package (Apache-2.0). Their scores say nothing about photographs.",
    "synthetic_ferplus": "Drawn faces of this package (Apache-2.0). Their scores say nothing about photographs.",
}
OTHER_LICENCE = "Its own licence holds for the data; none of them is in this package."
# Datasets whose splits have names of their own.
OFFICIAL = ("fer2013", "ferplus")
# How a dataset's validation and test faces were taken.
FACES_SCORED = {
    "ferplus": " Validation and test are the faces on whose class more than half of the taggers agree; the others are "
    "left out, as in the paper.",
}
NOT_MEASURED = (
    "Not measured, and to be expected: faces from the side, behind hands, masks or glasses, in the dark, or much "
    "smaller than the input. A picture that is no face gets an expression all the same; use a face detector before it."
)


def reproduce(name: str, needs_data: bool) -> str:
    """Return the commands that train a network again from its card, and make the card again."""
    settings = "dict(c, data='DIR')" if needs_data else "c"
    return (
        'python -c "import json; from pathlib import Path; from fer_tf.training import config, run; '
        f"c = json.loads(Path('{name}.json').read_text())['training']['config']; "
        f"run.execute(config.RunConfig.from_json({settings}), Path('runs/again'))\"\n"
        f"python -m fer_tf.pretrained runs/again {name} --out cards{' --data DIR' if needs_data else ''}"
    )
