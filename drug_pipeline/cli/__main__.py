"""``python -m drug_pipeline.cli``, and so ``torchrun -m drug_pipeline.cli``."""

from drug_pipeline.cli import main

if __name__ == "__main__":
    main()
