"""What a question must not wait for."""

import subprocess
import sys


def test_asking_a_model_without_networks_imports_neither_torch_nor_dagster_nor_mlflow() -> None:
    script = (
        "import sys, drug_pipeline.cli.ask, drug_pipeline.query.open_model\n"
        "import drug_pipeline.query.rank, drug_pipeline.query.predict\n"
        "print(sorted({'dagster', 'mlflow', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.strip() == "[]"
