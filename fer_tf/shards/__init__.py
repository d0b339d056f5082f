"""Face preparation for more photographs than a folder of files can hold: sharded TFRecords, on one host or many."""

from fer_tf.shards.job import ShardSummary, prepare, verify
from fer_tf.shards.plan import ShardOptions

__all__ = ["ShardOptions", "ShardSummary", "prepare", "verify"]
