"""Drawn faces, so that every path of the project runs without a download.

`load_synthetic` is the dataset `synthetic`, `load_synthetic_ferplus` is `synthetic_ferplus`.
"""

from fer_tf.datasets.synthetic.dataset import load_synthetic, load_synthetic_ferplus

__all__ = ["load_synthetic", "load_synthetic_ferplus"]
