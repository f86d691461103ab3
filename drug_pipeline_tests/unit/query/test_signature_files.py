"""Signature files as other programs write them: read as they are meant, or refused with what to do."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.signature import Signature, read_signature

N_GENES = 12
SYMBOLS = [f"GENE{number}" for number in range(N_GENES)]
ENSEMBL = [f"ENSG{number:011d}" for number in range(N_GENES)]
VALUES = np.linspace(-1.0, 1.2, N_GENES).round(3)


def table(header: str, genes: Sequence[object] = SYMBOLS, *, sep: str = ",") -> str:
    rows = [f"{gene}{sep}{value}" for gene, value in zip(genes, VALUES, strict=True)]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


@pytest.fixture
def read(tmp_path: Path, panel: pd.DataFrame):
    def read(content: str | bytes, name: str = "signature.csv", **options) -> Signature:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return read_signature(tmp_path / name, panel, **options)

    return read


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("comma.csv", table("gene,delta")),
        ("semicolon.csv", table("gene;delta", sep=";")),
        ("tab.txt", table("gene\tdelta", sep="\t")),
        ("comment.rnk", "# a ranked list\n\n" + table("", sep="\t")),
        ("bare.rnk", table("", sep="\t")),
        ("windows.csv", table("gene,delta").replace("\n", "\r\n")),
        ("marked.csv", "\ufeff" + table("gene,delta")),
        ("wide.txt", table("gene\tdelta", sep="\t").encode("utf-16")),
        ("zipped.csv.gz", gzip.compress(table("gene,delta").encode())),
        ("UPPER.CSV", table("GENE_SYMBOL,DELTA")),
        ("row_names.csv", table(",delta")),
        ("r_write_table.txt", table("delta", sep="\t")),
        ("blanks.csv", table("gene,delta").replace(",", " , ")),
        ("series.csv", table(",0")),
        ("tokens.csv", table("token_id,delta", range(3, 3 + N_GENES))),
        ("tokens_as_floats.csv", table("token_id,delta", [f"{n}.0" for n in range(3, 15)])),
        ("ensembl.csv", table("gene_id,delta", [f"{name}.4" for name in ENSEMBL])),
        ("ids_for_symbols.csv", table("symbol,delta", [*ENSEMBL[:6], *SYMBOLS[6:]])),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:25] else "",
)
def test_files_as_others_write_them_are_one_signature(
    read, name: str, content: str | bytes
) -> None:
    np.testing.assert_allclose(read(content, name).delta_G, VALUES, rtol=1e-6)


@pytest.mark.parametrize("index", [None, "gene", "ensembl_id"])
def test_genes_may_be_the_index_of_a_parquet_file(
    tmp_path: Path, panel: pd.DataFrame, index: str | None
) -> None:
    genes = pd.Index(ENSEMBL if index == "ensembl_id" else SYMBOLS, name=index)
    pd.DataFrame({"delta": VALUES}, index=genes).to_parquet(tmp_path / "indexed.parquet")

    signature = read_signature(tmp_path / "indexed.parquet", panel)

    np.testing.assert_allclose(signature.delta_G, VALUES, rtol=1e-6)


def test_no_part_of_the_path_of_a_parquet_file_is_a_column(
    tmp_path: Path, panel: pd.DataFrame
) -> None:
    path = tmp_path / "ensembl_id=all" / "signature.parquet"
    path.parent.mkdir()
    pd.DataFrame({"gene": SYMBOLS, "delta": VALUES}).to_parquet(path)

    assert read_signature(path, panel).is_given_G.all()


def test_the_surest_of_several_gene_columns_is_taken_and_what_was_read_is_said(read) -> None:
    rows = "".join(
        f"{symbol},{name},{value},{value / np.log(2)}\n"
        for symbol, name, value in zip([*SYMBOLS[:6], *[""] * 6], ENSEMBL, VALUES, strict=True)
    )

    signature = read(f"gene_symbol,ensembl_id,delta,log2_fold_change\n{rows}")

    assert signature.is_given_G.all()
    assert (
        "Genes from 'ensembl_id' of signature.csv, values from 'delta', taken as natural logs"
        in (signature.sentences()[0])
    )


@pytest.mark.parametrize(
    ("column", "unit", "factor", "said"),
    [
        ("delta", None, 1.0, "natural logs by its name"),
        ("value", None, 1.0, "natural logs since nothing says otherwise (--unit log2 makes"),
        ("logFC", None, np.log(2), "log2 by its name (--unit ln makes"),
        ("log2FoldChange", None, np.log(2), "log2 by its name"),
        ("avg_log2FC", None, np.log(2), "log2 by its name"),
        ("logfoldchanges", None, np.log(2), "log2 by its name"),
        ("logFC", "ln", 1.0, "natural logs as asked"),
        ("delta", "log2", np.log(2), "log2 as asked"),
        ("lfc", "ln", 1.0, "natural logs as asked"),
        ("z-score", None, 1.0, "z-scores by its name (--unit ln makes"),
        ("stat", None, 1.0, "z-scores by its name"),
        ("value", "z", 1.0, "z-scores as asked"),
    ],
)
def test_the_name_of_the_column_tells_the_unit_and_it_is_said(
    read, column: str, unit: str | None, factor: float, said: str
) -> None:
    signature = read(table(f"gene,{column}"), unit=unit)

    np.testing.assert_allclose(signature.delta_G, VALUES * factor, rtol=1e-6)
    assert said in signature.sentences()[0]
    assert signature.is_delta == ("z-scores" not in said)


def test_of_fold_changes_and_z_scores_the_fold_changes_are_meant(read) -> None:
    rows = "".join(f"{gene},{v},{9 * v}\n" for gene, v in zip(SYMBOLS, VALUES, strict=True))

    signature = read(f"gene,log2FoldChange,stat\n{rows}")

    np.testing.assert_allclose(signature.delta_G, VALUES * np.log(2), rtol=1e-6)


def test_values_that_no_delta_can_have_are_scores_of_another_unit_and_it_is_said(read) -> None:
    content = table("gene,delta").replace(",0.2", ",25")

    as_delta, as_z = read(content), read(content, unit="z")

    assert not as_delta.is_delta
    assert "1 of 12 values of signature.csv are beyond ±9.21" in " ".join(as_delta.sentences())
    assert "first: GENE6 25" in " ".join(as_delta.sentences())
    assert "beyond" not in " ".join(as_z.sentences())
    np.testing.assert_array_equal(as_delta.delta_G, as_z.delta_G)


def test_a_first_line_without_a_header_counts_and_is_said(read) -> None:
    signature = read(table("", sep="\t"), "ranks.txt")

    assert signature.is_given_G[0]
    assert "ranks.txt has no header" in signature.sentences()[0]


def test_rows_without_gene_or_value_are_left_out_and_counted(read) -> None:
    content = table("gene,log2FoldChange") + ",0.3\nNA,0.1\nnan,0.2\nOTHER,NA\n"

    signature = read(content)

    assert signature.coverage.n_given == N_GENES
    assert signature.sentences()[1:3] == [
        "3 rows without the name of a gene were left out.",
        "1 rows without a value were left out.",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n# nothing\n\n", "is empty"),
        ("gene,delta\n", r"0 of 0 genes given .* At least 10"),
        ("GENE1\nGENE2\n", "is one column"),
        (table("gene,delta").encode("latin-1") + b"\xe9,1\n", "not text in UTF-8"),
        (table("gene,delta").encode("utf-16-le"), "NUL characters"),
        (table("gene,delta") + "GENE1,0,5\n", "line 14 of signature.csv has 3 fields where 2"),
        (table("gene;delta", sep=";").replace(".", ","), r"no numbers; first: GENE0 '-1,0'"),
        (table("gene,delta").replace(",0.2", ",20%"), r"no numbers; first: GENE6 '20%'"),
        (table("gene,delta").replace(",0.2", ',"1,234"'), r"no numbers; first: GENE6 '1,234'"),
        (table("gene,delta").replace(",0.2", ",up"), r"no numbers; first: GENE6 'up'"),
        (table("gene,delta").replace(",0.2", ",-inf"), "not finite numbers; first: GENE6"),
        (table("gene,delta").replace("-", ""), "none of 12 values .* is negative"),
        (table("gene,delta,DELTA").replace("GENE", "X,GENE"), "several value columns"),
        ("gene,Gene,delta\nGENE1,GENE1,1\n", "several gene columns: gene, Gene"),
        ("gene,delta,delta\nGENE1,1,1\n", "several columns of one name: delta"),
        ("gene,logFC,log2FC\nGENE1,1,1\n", "several value columns: logFC, log2FC"),
        ("gene,lnFC,logFC\nGENE1,1,1\n", "several value columns: lnFC, logFC"),
        ("GENE1,1,0.5\nGENE2,1,0.5\n", "3 columns and no header"),
        (table("gene,lfc"), "ln in one tool and log2 in another. Say --unit"),
        (table("gene,P.Value"), "holds p-values, by its name"),
        (table("gene,rank"), "holds ranks"),
        (table("gene,fold_change"), "holds ratios, not their logarithm"),
        (table("gene,baseMean"), "holds expression"),
        (table("entrez_id,delta", range(3, 15)), "holds Entrez ids, which are not known here"),
        (table("gene,delta", range(3, 15)), "12 names are numbers"),
        (table("", range(3, 15)), "12 names are numbers"),
        (table("gene,delta") + "GENE3,0.1\n", "genes are named more than once; first: GENE3"),
        (table("gene,delta") + f"{ENSEMBL[3]},0.1\n", "1 genes are given under two names"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    read, content: str | bytes, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        read(content)


@pytest.mark.parametrize("name", ["a.parquet", "a.h5ad", "a.csv.gz"])
def test_a_file_that_is_not_what_its_name_says_is_refused(read, name: str) -> None:
    with pytest.raises(QueryError, match=f"{name} cannot be read"):
        read(b"neither this nor that", name)


def test_a_row_is_of_an_anndata_file_alone(read) -> None:
    with pytest.raises(QueryError, match=r"--row is for \.h5ad files"):
        read(table("gene,delta"), row="one")


def h5ad(path: Path, x: np.ndarray, rows: Sequence[str], var: pd.DataFrame) -> Path:
    anndata = pytest.importorskip("anndata")
    with pytest.MonkeyPatch.context():
        anndata.AnnData(
            X=x.astype("float32"), obs=pd.DataFrame(index=list(rows)), var=var
        ).write_h5ad(path)
    return path


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_two_rows_of_one_name_are_refused(tmp_path: Path, panel: pd.DataFrame) -> None:
    path = h5ad(
        tmp_path / "two.h5ad",
        np.vstack([VALUES, -VALUES]),
        ["s", "s"],
        pd.DataFrame(index=SYMBOLS),
    )

    with pytest.raises(QueryError, match=r"has 2 rows called 's'"):
        read_signature(path, panel, row="s")


@pytest.mark.parametrize("column", ["ensembl_id", "gene_ids"])
def test_a_column_of_var_that_is_called_so_names_the_genes(
    tmp_path: Path, panel: pd.DataFrame, column: str
) -> None:
    var = pd.DataFrame({column: ENSEMBL}, index=[f"GENE{number}-1" for number in range(N_GENES)])
    path = h5ad(tmp_path / "ids.h5ad", VALUES[None, :], ["one"], var)

    signature = read_signature(path, panel)

    assert signature.coverage.naming == names.ENSEMBL_ID
    np.testing.assert_allclose(signature.delta_G, VALUES, rtol=1e-6)


@pytest.mark.parametrize("counts", [np.arange(12.0), np.log1p(np.arange(12.0))])
def test_the_expression_of_one_cell_is_refused(
    tmp_path: Path, panel: pd.DataFrame, counts: np.ndarray
) -> None:
    path = h5ad(tmp_path / "cell.h5ad", counts[None, :], ["cell"], pd.DataFrame(index=SYMBOLS))

    with pytest.raises(QueryError, match=r"none of 12 values of cell\.h5ad is negative"):
        read_signature(path, panel)
