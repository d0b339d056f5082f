"""Named recipes: the call strings behind one word."""

from fer_tf.errors import unknown_name

# Without the last crop: the reader adds it, random in training and central in evaluation.
PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "light": ("flip()", "affine(rotation=10, shift=0.1)"),
    # arXiv 2105.03588; it erases after normalisation with mean 0, so that its fill 0 is black.
    "study": (
        "random_resized_crop(area=(0.8, 1.2), aspect=(0.75, 1.3333333333333333))",
        "affine(shift=0.2, p=0.5)",
        "flip()",
        "affine(rotation=10, p=0.5)",
        "erasing(p=0.5)",
    ),
    "strong": (
        "flip()",
        "affine(rotation=20, shift=0.15, zoom=0.2, shear=0.1)",
        "randaugment(n=2, m=9)",
        "erasing(p=0.5)",
    ),
    # arXiv 1608.01041, the authors' training settings.
    "ferplus": ("affine(rotation=20, shift=0.08, zoom=0.05, shear=0.05, fill='reflect')", "flip()"),
}


def preset(name: str) -> list[str]:
    """Return the call strings of a recipe.

    Raises:
        UserError: no such recipe.
    """
    if name not in PRESETS:
        raise unknown_name("augmentation preset", name, PRESETS)
    return list(PRESETS[name])
