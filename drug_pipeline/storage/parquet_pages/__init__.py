"""Lists of numbers read from Parquet pages as they are encoded."""
