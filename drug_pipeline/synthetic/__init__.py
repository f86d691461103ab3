"""A seeded miniature Tahoe-100M, every quirk included, with its truth. Generated data."""

from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.generate import SyntheticSummary, generate

__all__ = ["SyntheticConfig", "SyntheticSummary", "generate"]
