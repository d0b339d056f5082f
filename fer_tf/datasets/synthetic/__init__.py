"""Drawn faces, so that every path of the project runs without a download.

`load` is the data set `synthetic`, `load_ferplus` is `synthetic_ferplus`.
"""

from fer_tf.datasets.synthetic.dataset import load, load_ferplus

__all__ = ["load", "load_ferplus"]
