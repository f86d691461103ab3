"""A seeded miniature Tahoe-100M, every quirk included, with its truth. Generated data."""
