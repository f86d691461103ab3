"""What must hold before a model may be champion, and what a gate may say."""
