"""A raw folder of a few cells that each test may break in one place."""

from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import schemas
from drug_pipeline.storage.layout import Layout

WELLS = {
    # well: plate, drug as sample_metadata has it, dose in µM
    "w1": ("plate1", "DMSO_TF", 0.0),
    "w2": ("plate1", "Alpha ", 0.05),
    "w3": ("plate2", "DMSO_TF", 0.0),
    "w4": ("plate2", "Trametinib (DMSO_TF solvate)", 5.0),
}


class RawScreen:
    """A raw folder in the released layout: two plates of two wells, two lines, five genes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = count()
        (folder / "data").mkdir(parents=True)
        (folder / "metadata").mkdir()
        self.write_metadata(
            gene_metadata={
                "gene_symbol": list("ABCDE"),
                "ensembl_id": [f"ENSG{i}" for i in range(5)],
                "token_id": [3, 4, 5, 6, 7],
            },
            drug_metadata={
                "drug": ["Trametinib (DMSO_TF solvate)", "Alpha"],
                "targets": ["MAP2K1, MAP2K2", None],
                "moa-broad": ["inhibitor/antagonist", None],
                "moa-fine": ["MEK inhibitor", "unclear"],
                "canonical_smiles": ["CCO.Cl", None],
                "pubchem_cid": [1923.0, None],
            },
            cell_line_metadata={
                "cell_name": ["One", "One", "Two"],
                "Cell_ID_DepMap": ["ACH-1", "ACH-1", None],
                "Cell_ID_Cellosaur": ["CVCL_1", "CVCL_1", "CVCL_2"],
                "Organ": ["Lung", "Lung", None],
                "Driver_Gene_Symbol": ["TP53", "KRAS", None],
            },
            sample_metadata={
                "sample": list(WELLS),
                "plate": [plate for plate, _, _ in WELLS.values()],
                "drug": [drug for _, drug, _ in WELLS.values()],
                "drugname_drugconc": [f"[({d!r}, {x}, 'uM')]" for _, d, x in WELLS.values()],
            },
        )

    def write_metadata(self, **tables: dict[str, list[Any]]) -> None:
        for name, columns in tables.items():
            pq.write_table(pa.table(columns), self.folder / "metadata" / f"{name}.parquet")

    def path(self, name: str) -> Path:
        return self.folder / "data" / f"{name}.parquet"

    def cell(
        self, sample: str = "w2", cell_line_id: str = "CVCL_1", **changes: Any
    ) -> dict[str, Any]:
        """One record; fields may be changed."""
        plate, drug, _ = WELLS.get(sample, ("plate1", "Alpha", 0.0))
        record: dict[str, Any] = dict.fromkeys(schemas.RAW_CELL.names)
        record |= {
            "genes": [1, 3, 5],
            "expressions": [-2.0, 4.0, 1.0],
            "drug": drug.strip(),
            "sample": sample,
            "BARCODE_SUB_LIB_ID": f"bc{next(self.numbers)}",
            "cell_line_id": cell_line_id,
            "plate": plate,
        }
        return record | changes

    def table(self, *cells: dict[str, Any]) -> pa.Table:
        return pa.Table.from_pylist(list(cells), schema=schemas.RAW_CELL)

    def write(self, name: str, *cells: dict[str, Any], rows_in_group: int = 2) -> Path:
        """One raw file of some cells, two in a row group."""
        pq.write_table(self.table(*cells), self.path(name), row_group_size=rows_in_group)
        return self.path(name)

    def write_default(self) -> "RawScreen":
        """Three fit files: a and b of plate1, c of plate2."""
        self.write("a", self.cell("w1"), self.cell("w2"), self.cell("w2", "CVCL_2"))
        self.write("b", self.cell("w2"), self.cell("w1", "CVCL_2"))
        self.write("c", self.cell("w3"), self.cell("w4"), self.cell("w4"), self.cell("w4"))
        return self


@pytest.fixture
def screen(tmp_path: Path) -> RawScreen:
    return RawScreen(tmp_path / "raw")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "made")
