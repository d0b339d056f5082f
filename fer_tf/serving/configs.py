"""What a server is started with, beside the exported models: which models, how requests are batched, how to start."""

import re
from pathlib import Path

from fer_tf.io import atomic
from fer_tf.serving.versions import versions_in

MODELS, BATCHING, GUIDE = "models.config", "batching.config", "SERVING.md"
# Where the server's image has its models; it takes no relative paths.
INSIDE = "/models"

# Version labels are left out on purpose: one of a version that is not loaded yet keeps the server from starting.
MODEL_TEXT = """  config {{
    name: "{name}"
    base_path: "{inside}/{name}"
    model_platform: "tensorflow"
  }}
"""
LIST_START, LIST_END = "model_config_list {\n", "}\n"

BATCHING_TEXT = """# Requests that arrive within a millisecond share a run. num_batch_threads: the server's cores.
# Tensors of one run have one shape: with batching, send predict_faces faces of one size.
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
"""

GUIDE_TEXT = """# Serving

In this folder, with Docker:

```sh
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD:/models:ro" tensorflow/serving \\
    --model_config_file=/models/models.config --enable_batching --batching_parameters_file=/models/batching.config
```

Without, for one model: `tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=NAME
--model_base_path="$PWD/NAME"`. A new version is loaded as soon as it is there.

```sh
python -m fer_tf.client localhost photograph.jpg --model NAME          # REST, port 8501
python -m fer_tf.client localhost photograph.jpg --model NAME --grpc   # gRPC, port 8500
curl localhost:8501/v1/models/NAME:predict \\
    -d '{"signature_name": "analyze", "instances": [{"image_bytes": {"b64": "'"$(base64 -w0 photograph.jpg)"'"}}]}'
```

| signature | input | outputs, a row each |
| --- | --- | --- |
| `serving_default` | `image_bytes`: picture files, a face each | `probabilities`, `label`, `label_id` |
| `predict_faces` | `faces`: uint8 (N, h, w, 1 or 3) | the same |
| `analyze` | `image_bytes`: photograph files | `count`, `labels`, and, a face each, what follows |

All have `classes` and `valid`; `analyze` has `boxes`, `scores`, `landmarks`, `probabilities`, zeros after `count`, and
`size`, the photograph's height and width.

`classes` names the columns of `probabilities`; so does `NAME/<version>/assets/labels.txt`. Faces are framed as FER2013
frames them. Boxes and landmarks are pixels of the photograph seen upright: JPEG's EXIF orientation is undone in the
server, that of PNG and WebP is not.

JPEG, PNG, GIF (its first frame), BMP (24 or 32 bits, or gray) and, from TensorFlow 2.21 on, WebP that is not animated.
Of anything else, of damaged pictures and of those with more pixels than the export allows (`--max-pixels`) `valid` is
false and the rest zeros; other rows of the request are not touched. Memory: up to 16 bytes a pixel of a picture, for at
most four pictures of a request at a time.

Version labels (`version_labels` in models.config) may name versions that are loaded; add them while the server runs.
"""


def write(parent: Path) -> list[Path]:
    """Bring ``models.config`` up to date with the models in a folder; write the other files where they are missing.

    What is there is kept: it may have been changed by hand.

    Returns:
        The files.
    """
    models, batching, guide = (parent / name for name in (MODELS, BATCHING, GUIDE))
    text = models.read_text(encoding="utf-8") if models.is_file() else LIST_START + LIST_END
    updated = with_models(text, [p.name for p in sorted(parent.iterdir()) if versions_in(p)])
    if not models.is_file() or updated != text:
        atomic.write_text(models, updated)
    for path, content in ((batching, BATCHING_TEXT), (guide, GUIDE_TEXT)):
        if not path.exists():
            atomic.write_text(path, content)
    return [models, batching, guide]


def with_models(text: str, names: list[str]) -> str:
    """Add to a ``models.config`` the models that it does not name."""
    named = set(re.findall(r'^\s*name:\s*"([^"]*)"', text, re.MULTILINE))
    blocks = "".join(MODEL_TEXT.format(name=name, inside=INSIDE) for name in names if name not in named)
    before, brace, after = text.rpartition("}")
    return before + blocks + brace + after
