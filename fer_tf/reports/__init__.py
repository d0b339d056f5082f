"""Draw figures, tables and self-contained pages of results."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.reports.audits",
    "fer_tf.reports.explanations",
    "fer_tf.reports.figures",
    "fer_tf.reports.results_page",
    "fer_tf.reports.significance",
)
