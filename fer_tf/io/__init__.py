"""Read and write files: atomic writes, a cache, pictures, videos, TFRecords, and folder jobs that can be resumed."""
