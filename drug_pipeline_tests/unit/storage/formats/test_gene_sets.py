from pathlib import Path

import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.storage.formats.gene_sets import read_gene_sets


def test_a_gmt_file_gives_the_genes_of_each_set(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("ONE\tlink\tTP53\tMYC\n\nTWO\tlink\tEGFR\t\n")

    assert read_gene_sets(path) == {
        "ONE": frozenset({"TP53", "MYC"}),
        "TWO": frozenset({"EGFR"}),
    }


def test_a_file_that_is_not_there_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gene_sets is .*no\.gmt.*no such file"):
        read_gene_sets(tmp_path / "no.gmt")


def test_a_line_that_is_no_gene_set_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("ONE\tlink\tTP53\nthis,is,a,table\n")

    with pytest.raises(ConfigurationError, match=r"line 2 of .* is no gene set.*this,is,a,table"):
        read_gene_sets(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_text("\n")

    with pytest.raises(ConfigurationError, match="holds no gene set"):
        read_gene_sets(tmp_path / "sets.gmt")
