"""What each input and loss is worth, and what a network knows of genes."""
