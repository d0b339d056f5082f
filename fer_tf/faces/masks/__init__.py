"""Draw masks on faces, occlude the lower face, and make data sets of both."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.faces.masks.kinds:MASKS",
    "fer_tf.faces.masks.kinds:drawn_kind",
    "fer_tf.faces.masks.kinds:read_color",
    "fer_tf.faces.masks.head_pose:fit_head",
    "fer_tf.faces.masks.head_pose:wearable",
    "fer_tf.faces.masks.mask_datasets:MaskSettings",
    "fer_tf.faces.masks.painting:cut_face",
    "fer_tf.faces.masks.painting:MaskedFace",
    "fer_tf.faces.masks.painting:face_seed",
    "fer_tf.faces.masks.painting:put_mask",
)
