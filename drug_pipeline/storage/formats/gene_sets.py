"""Gene sets from a GMT file: a set a line, name, description, then gene symbols."""

from pathlib import Path

from drug_pipeline.domain.errors import ConfigurationError


def read_gene_sets(path: Path) -> dict[str, frozenset[str]]:
    """Gene symbols of each set, by name.

    Raises
    ------
    ConfigurationError
        If the file is not there, or a line is no gene set.
    """
    if not path.is_file():
        msg = (
            f"gene_sets is {path}, but there is no such file. Give a GMT file, such as a "
            "Hallmark collection of MSigDB, or unset DRUG_PIPELINE_GENE_SETS."
        )
        raise ConfigurationError(msg)
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        symbols = frozenset(symbol for symbol in rest[1:] if symbol)
        if not symbols:
            msg = (
                f"line {number} of {path} is no gene set: expected a name, a description and "
                f"gene symbols between tabs, got {line[:60]!r}. Give a GMT file."
            )
            raise ConfigurationError(msg)
        found[name] = symbols
    if not found:
        msg = f"{path} holds no gene set. Give a GMT file, or unset DRUG_PIPELINE_GENE_SETS."
        raise ConfigurationError(msg)
    return found
