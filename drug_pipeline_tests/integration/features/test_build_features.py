"""Embeddings and splits built on a data folder: aligned, audited, and only when something is new."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    LeakError,
    StaleInputError,
)
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.ingest.embeddings import (
    build_cell_line_embeddings,
    build_drug_embeddings,
    check_stored_alignment,
)
from drug_pipeline.ingest.splits import audit_stored_splits, build_splits
from drug_pipeline.storage.embeddings import (
    embedding_path,
    encoder_dir,
    read_embeddings,
    read_left_out,
)
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import (
    ARRAYS,
    DeltaShard,
    delta_files,
    read_delta,
    write_all_dropped,
    write_delta_genes,
    write_delta_shard,
)
from drug_pipeline.storage.splits import read_splits, read_splits_index
from drug_pipeline.storage.stamps import StampStore

G = 12
SMILES = ["CCO", "CCN", "c1ccccc1", "Cc1ccccc1", "CC(=O)O", "CCCC", "C1CCCCC1", "OCCO"]
DRUGS = [f"drug{number}" for number in range(len(SMILES))]
LINES = [f"CVCL_{number:04}" for number in range(6)]
DOSES = {"plate1": 0.05, "plate2": 0.5, "plate3": 5.0, "plate4": 5.0}


def written_metadata(layout: Layout, smiles: list[str | None]) -> None:
    drugs = pd.DataFrame(
        {
            names.DRUG: [*DRUGS, "mixture"],
            names.PARENT_SMILES: [*smiles, None],
            names.PARENT_COMPOUND: [f"P-{drug}" for drug in [*DRUGS, "mixture"]],
            names.SCAFFOLD: [f"S-{drug}" for drug in [*DRUGS, "mixture"]],
            names.TARGETS: [[]] * (len(DRUGS) + 1),
        }
    ).reindex(columns=schemas.DRUGS.names)
    lines = pd.DataFrame(
        {
            names.CELL_LINE_ID: [*LINES, "CVCL_9999"],
            names.ORGAN: ["Lung", "Bowel"] * 3 + ["Skin"],
            names.DRIVER_MUTATIONS: [["KRAS"], ["KRAS"], ["TP53"], [], [], [], []],
        }
    ).reindex(columns=schemas.CELL_LINES.names)
    for name, frame, schema in (
        ("drugs", drugs, schemas.DRUGS),
        ("cell_lines", lines, schemas.CELL_LINES),
    ):
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        write_parquet(table, layout.metadata_dir / f"{name}.parquet")
    stamp(layout, "tahoe_metadata", sorted(layout.metadata_dir.glob("*.parquet")))


def write_shard(layout: Layout, plate: str, dose_um: float) -> None:
    rng = np.random.default_rng(len(plate) + int(10 * dose_um))
    rows = [(drug, dose_um, line, plate) for line in LINES for drug in [*DRUGS, "mixture"]]
    index = pd.DataFrame(rows, columns=list(names.CONDITION_KEY))
    index[names.PARENT_COMPOUND] = "P-" + index[names.DRUG]
    index = index.assign(
        n_cells=30, n_control_cells=20, total_counts=900, is_fallback_control=False
    )
    controls = pd.DataFrame({names.CELL_LINE_ID: LINES, names.PLATE: plate, names.N_CELLS: 20})
    n_rows = dict.fromkeys(ARRAYS, len(index)) | {"control": 6, "control_well": 6}
    write_delta_shard(
        layout,
        DeltaShard(
            plate=plate,
            arrays={
                name: rng.gamma(2.0, size=(n, G)).astype(np.float32) for name, n in n_rows.items()
            },
            index=index,
            controls=controls,
            control_wells=controls.assign(sample=f"{plate}-well"),
            dropped=index.head(0).assign(reason="", n=0),
        ),
        made_from="test",
    )


def written_delta(layout: Layout, plates: dict[str, float]) -> None:
    for plate, dose_um in plates.items():
        write_shard(layout, plate, dose_um)
    genes = {names.TOKEN_ID: list(range(3, 3 + G)), names.ENSEMBL_ID: [f"E{i}" for i in range(G)]}
    genes |= {names.GENE_SYMBOL: [f"G{i}" for i in range(G)]}
    write_delta_genes(layout, pa.table(genes, schema=schemas.GENES))
    write_all_dropped(layout)
    stamp(layout, "delta_shards", delta_files(layout))


def stamp(layout: Layout, asset: str, files: list[Path]) -> None:
    StampStore(layout).write(asset=asset, code_version="1", inputs={}, config={}, files=files)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    written_metadata(layout, list(SMILES))
    written_delta(layout, DOSES)
    return layout


def built_bytes(layout: Layout) -> dict[str, bytes]:
    folders = (layout.embeddings_dir, layout.splits_dir, layout.manifest_dir / "stamps")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in sorted(files)}


def build_all(layout: Layout) -> list[bool]:
    return [
        build_drug_embeddings(layout, DrugEmbeddingConfig()).is_new,
        build_cell_line_embeddings(layout, CellLineEmbeddingConfig()).is_new,
        build_splits(layout, SplitConfig()).is_new,
    ]


def test_a_second_build_finds_nothing_new_and_changes_no_byte(layout: Layout) -> None:
    assert build_all(layout) == [True, True, True]
    before = built_bytes(layout)
    assert build_all(layout) == [False, False, False]
    assert built_bytes(layout) == before


def test_built_vectors_have_the_keys_of_the_metadata_and_name_the_rest(layout: Layout) -> None:
    build_all(layout)
    assert read_embeddings(layout, "drugs").keys == tuple(DRUGS)
    assert read_left_out(layout, "drugs") == {"mixture": "no SMILES"}
    assert read_embeddings(layout, "cell_lines").keys == tuple(LINES)
    assert read_left_out(layout, "cell_lines") == {"CVCL_9999": "no vehicle cells in the data"}
    assert check_stored_alignment(layout, "drugs") == len(DRUGS)
    assert check_stored_alignment(layout, "cell_lines") == len(LINES)
    summary = build_drug_embeddings(layout, DrugEmbeddingConfig()).stamp.summary
    assert summary["left_out"] == {"no SMILES": "mixture"}


def test_the_stored_encoder_gives_a_line_the_vector_that_was_stored(layout: Layout) -> None:
    build_cell_line_embeddings(layout, CellLineEmbeddingConfig())
    encoder = {path.stem: np.load(path) for path in encoder_dir(layout).glob("*.npy")}
    controls = read_delta(layout).controls
    is_line = (controls.groups[names.CELL_LINE_ID] == LINES[2]).to_numpy()
    profile_LG = controls.control_MG[is_line].mean(axis=0, keepdims=True)
    np.testing.assert_allclose(
        (profile_LG[0] - encoder["mean"]) / encoder["scale"] @ encoder["loadings"],
        read_embeddings(layout, "cell_lines").block("control_pca").vectors_KF[2],
        atol=1e-5,
    )


def test_rows_of_a_stored_embedding_in_another_order_fail_the_check(layout: Layout) -> None:
    build_all(layout)
    path = embedding_path(layout, "drugs")
    table = pq.read_table(path)
    write_parquet(table.take([1, 0, *range(2, len(table))]), path)
    with pytest.raises(AlignmentError, match="in another order than the metadata"):
        check_stored_alignment(layout, "drugs")


def test_own_vectors_are_an_input_whose_change_is_seen(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    config = DrugEmbeddingConfig(blocks=("own",), own_path=str(path))
    with pytest.raises(ConfigurationError, match=r"own vectors .* are not there"):
        build_drug_embeddings(layout, config)
    everyone = [*DRUGS, "mixture"]
    path.write_text("drug,x\n" + "".join(f"{drug},{row}\n" for row, drug in enumerate(everyone)))
    assert build_drug_embeddings(layout, config).is_new
    assert not build_drug_embeddings(layout, config).is_new
    path.write_text("drug,x\n" + "".join(f"{drug},{-row}\n" for row, drug in enumerate(everyone)))
    assert build_drug_embeddings(layout, config).is_new
    assert read_embeddings(layout, "drugs").rows(["drug3"])[0, 0] == -3.0


def test_built_splits_are_audited_and_follow_the_rows_of_the_delta_table(layout: Layout) -> None:
    build_splits(layout, SplitConfig())
    conditions = read_delta(layout).conditions
    assert audit_stored_splits(layout) == list(SPLIT_NAMES)
    for name, split in read_splits(layout, conditions.iloc[::-1]).items():
        np.testing.assert_array_equal(split.roles_N[::-1], read_splits(layout)[name].roles_N)


def test_a_new_plate_moves_no_condition_of_a_hashed_split(layout: Layout) -> None:
    build_splits(layout, SplitConfig())
    before, old = read_splits(layout), read_delta(layout).conditions
    written_delta(layout, DOSES | {"plate5": 1.0})
    assert build_splits(layout, SplitConfig()).is_new
    after = read_splits(layout, read_delta(layout).conditions)
    for name in sorted(set(before) - {"plate_replicate"}):
        np.testing.assert_array_equal(after[name].roles_N[: len(old)], before[name].roles_N)


def test_a_stored_split_with_a_leak_is_found(layout: Layout) -> None:
    build_splits(layout, SplitConfig())
    path = layout.splits_dir / "drug.parquet"
    table = pq.read_table(path)
    roles = table[names.ROLE].to_pylist()
    roles[roles.index(names.TEST)] = names.TRAIN
    write_parquet(table.set_column(4, names.ROLE, pa.array(roles)), path)
    with pytest.raises(LeakError, match="split drug: 1 parent compounds are in both train and"):
        audit_stored_splits(layout)


def test_splits_that_cannot_be_drawn_are_in_the_index_with_their_reason(layout: Layout) -> None:
    for plate in ("plate3", "plate4"):
        write_shard(layout, plate, float(plate[-1]))
    stamp(layout, "delta_shards", delta_files(layout))
    build_splits(layout, SplitConfig())
    skipped = read_splits_index(layout)["skipped"]
    assert list(skipped) == ["plate_replicate"]
    assert skipped["plate_replicate"].startswith("no plate repeats")


def test_where_the_pair_split_cannot_be_drawn_either_the_index_has_its_reason(
    layout: Layout,
) -> None:
    build_splits(layout, SplitConfig(names=("pair",), test_frac=0.9999, validation_frac=0.00001))

    assert read_splits_index(layout)["splits"] == {}
    assert "no test condition" in read_splits_index(layout)["skipped"]["pair"]
    assert audit_stored_splits(layout) == []


def test_builds_without_their_inputs_say_what_is_missing(tmp_path: Path) -> None:
    empty = Layout(tmp_path / "empty")
    with pytest.raises(StaleInputError, match="tahoe_metadata has not been built"):
        build_drug_embeddings(empty, DrugEmbeddingConfig())
    with pytest.raises(StaleInputError, match="delta_shards has not been built"):
        build_splits(empty, SplitConfig())
