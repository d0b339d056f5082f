"""Prepare many photographs as sharded TFRecords, on one host or many."""

from fer_tf.shards.job import ShardSummary, prepare, verify
from fer_tf.shards.plan import ShardOptions

__all__ = ["ShardOptions", "ShardSummary", "prepare", "verify"]
