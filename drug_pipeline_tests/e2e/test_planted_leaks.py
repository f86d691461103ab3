"""Leaks planted in a generated screen, each on the way it would take: one gate must turn red."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.ablation.gate_verdicts import (
    build_gate_verdicts,
    read_gate_verdicts,
)
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluation_report import GATES, build_evaluation_report
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig, choose_panel
from drug_pipeline.ingest.delta import build_delta_shards
from drug_pipeline.ingest.panel import PANEL, StatsUnit, control_stats_of_file
from drug_pipeline.ingest.panel import _read_partial as read_sums
from drug_pipeline.ingest.raw.raw_cells import counted_files
from drug_pipeline.linear import Features
from drug_pipeline.orchestration import findings
from drug_pipeline.orchestration.judging import may_be_champion, model_gates
from drug_pipeline.settings import Settings
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawFolder
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits, read_splits_index, write_splits
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.ablation.config import GateFitsConfig
from drug_pipeline.training.ablation.fits import build_gate_fits
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.model_assets import (
    build_model_full,
    build_model_prototype,
    read_features,
)
from drug_pipeline_tests.e2e.conftest import Built, build

JUDGED = replace(EvaluationConfig.preset("tiny"), is_exported=False)
TO_SPLITS = "*splits,*drug_embeddings,*cell_line_embeddings"
AFTER_PANEL = "pseudobulk,delta_shards,splits,drug_embeddings,cell_line_embeddings"
AFTER_DELTA = "splits,drug_embeddings,cell_line_embeddings"


@pytest.fixture(scope="module")
def ready(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The chain up to the splits and the vectors, without any leak."""
    made = build(raw_dir, tmp_path_factory.mktemp("ready") / "data", TO_SPLITS)
    assert made.outcome.is_success
    return made


@pytest.fixture
def copied(ready: Built, tmp_path: Path) -> Settings:
    """A folder of its own in which a leak may be planted."""
    shutil.copytree(ready.layout.root, tmp_path / "data")
    return ready.settings.model_copy(update={"data_dir": tmp_path / "data"})


def gates_of(
    settings: Settings,
    split: str = "pair",
    features_of: Callable[[Layout, DeltaTable], Features] = read_features,
) -> dict[str, str]:
    """Gate → its state, after models, gate fits and evaluation by the real builders."""
    layout = settings.layout
    short = TrainConfig.preset("tiny")
    loop = replace(short.forward.loop, n_epochs=1)
    short = replace(
        short,
        forward=replace(short.forward, loop=loop),
        inverse=replace(short.inverse, loop=loop),
        linear=("additive",),
        splits=(split,),
        prototype_split=split,
        device="cpu",
    )
    build_model_full(layout, short)
    build_model_prototype(layout, short)
    few = GateFitsConfig(forward_epochs=1, blind_train=60)
    build_gate_fits(layout, short, few, features_of=features_of)
    build_gate_verdicts(layout, JUDGED)
    build_evaluation_report(
        layout,
        JUDGED,
        gates=[*model_gates(layout, settings.section(PanelConfig)), *read_gate_verdicts(layout)],
    )
    told = pq.read_table(layout.evaluation_dir / GATES).to_pylist()
    return {str(gate["name"]): str(gate["state"]) for gate in told}


def red(gates: dict[str, str]) -> set[str]:
    return {name for name, state in gates.items() if state == "red"}


def restamp(layout: Layout, asset: str, files: list[Path]) -> None:
    """Stamp what is there as the asset's own, as a builder that leaks would."""
    stamp = StampStore(layout).read(asset)
    assert stamp is not None
    StampStore(layout).write(
        asset=asset,
        code_version=stamp.code_version,
        inputs=stamp.inputs,
        config=stamp.config,
        files=files,
        summary=stamp.summary,
    )


def draw_again(layout: Layout, name: str, is_moved_N: np.ndarray, role: str) -> None:
    """Give some conditions another role in a stored split, as a drawing that leaks would."""
    conditions = read_delta(layout).conditions
    splits = read_splits(layout, conditions)
    roles_N = np.where(is_moved_N, role, splits[name].roles_N)
    splits[name] = replace(splits[name], roles_N=roles_N)
    index = read_splits_index(layout)
    notes = {one: about["notes"] for one, about in index["splits"].items()}
    files = write_splits(layout, conditions, splits, notes=notes, skipped=index["skipped"])
    restamp(layout, "splits", files)


def test_without_a_leak_every_gate_is_green(copied: Settings) -> None:
    gates = gates_of(copied)

    assert red(gates) == set()
    assert {"genes chosen on controls", "blind to treated cells when fitted: pair"} <= set(gates)


def test_a_test_pair_copied_into_training_under_a_salts_name_is_found(
    ready: Built, raw_dir: Path, tmp_path: Path
) -> None:
    table = read_delta(ready.layout)
    test = table.conditions.iloc[read_splits(ready.layout, table.conditions)["pair"].rows("test")]
    victim = test.sort_values("n_cells").iloc[-1]
    for number in range(8):  # the copy's own hash decides its side: until it is trained on
        salt = f"{victim['drug']} mesylate {number}"
        folder = tmp_path / str(number)
        plant_salt(raw_dir, folder / "raw", victim, salt)
        made = build(folder / "raw", folder / "data", TO_SPLITS)
        conditions = read_delta(made.layout).conditions
        split = read_splits(made.layout, conditions)["pair"]
        roles = dict(
            zip(
                zip(conditions["drug"], conditions["plate"], strict=True),
                split.roles_N,
                strict=True,
            )
        )
        original = split.roles_N[
            np.flatnonzero(
                (conditions["drug"] == victim["drug"])
                & (conditions["plate"] == victim["plate"])
                & (conditions["cell_line_id"] == victim["cell_line_id"])
            )
        ]
        if roles[salt, victim["plate"]] == names.TRAIN and set(original) == {names.TEST}:
            break
    assert findings.no_leak(made.layout).is_passed  # by the names on its labels it is another drug

    gates = gates_of(made.settings)

    assert red(gates) == {"sides are disjoint: pair"}
    bundle = load_bundle(made.layout.deploy_dir)
    verdict = may_be_champion(made.layout, bundle, None, JUDGED)
    assert not verdict.is_green
    assert "sides are disjoint: pair" in verdict.explanation


def plant_salt(raw: Path, folder: Path, victim: pd.Series, salt: str) -> None:
    """The raw folder with one condition's cells a second time, as of a drug nobody knows."""
    shutil.copytree(raw, folder)
    samples = pq.read_table(folder / "metadata" / "sample_metadata.parquet").to_pandas()
    drugs = pq.read_table(folder / "metadata" / "drug_metadata.parquet").to_pandas()
    is_well = (samples["plate"] == victim["plate"]) & (
        samples["drug"].str.strip() == victim["drug"]
    )
    well = samples[is_well].iloc[:1]
    told = well.assign(
        sample="smp_salt",
        drug=salt,
        drugname_drugconc=f"[('{salt}', {victim['dose_um']}, 'uM')]",
    )
    known = drugs[drugs["drug"].str.strip() == victim["drug"]].iloc[:1]
    known = known.assign(drug=salt, canonical_smiles=None, pubchem_cid=None)
    for name, frame, row in (("sample", samples, told), ("drug", drugs, known)):
        path = folder / "metadata" / f"{name}_metadata.parquet"
        schema = pq.read_schema(path)
        rows = pa.Table.from_pandas(row, schema=schema, preserve_index=False)
        whole = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        pq.write_table(pa.concat_tables([whole, rows]), path)
    cells = pq.read_table(folder / "data")
    cells = cells.filter(
        pc.and_(
            pc.equal(cells["sample"], well["sample"].iloc[0]),
            pc.equal(cells["cell_line_id"], victim["cell_line_id"]),
        )
    )
    assert cells.num_rows == victim["n_cells"]
    changed = {
        "drug": pa.array([salt] * cells.num_rows),
        "sample": pa.array(["smp_salt"] * cells.num_rows),
        "BARCODE_SUB_LIB_ID": pa.array([f"salt-{cell}" for cell in range(cells.num_rows)]),
    }
    for name, column in changed.items():
        cells = cells.set_column(cells.schema.get_field_index(name), name, column)
    pq.write_table(cells, folder / "data" / "train-salt.parquet")


def leaking_features(layout: Layout, table: DeltaTable) -> Features:
    """The features with treated profiles of the test side in the value channel."""
    features = read_features(layout, table)
    test = read_splits(layout, table.conditions)["pair"].rows(names.TEST)
    control_LG = features.control_LG.copy()
    for place, line in enumerate(features.lines):
        rows = test[(table.conditions["cell_line_id"] == line).to_numpy()[test]]
        if len(rows):
            control_LG[place] += np.asarray(table.delta_NG[rows]).mean(axis=0)
    return replace(features, control_LG=control_LG)


def test_the_treated_profile_in_the_value_channel_is_found(copied: Settings) -> None:
    gates = gates_of(copied, features_of=leaking_features)

    assert red(gates) == {"blind to treated cells when fitted: pair"}


def test_a_gene_panel_chosen_on_test_conditions_is_found(copied: Settings, raw_dir: Path) -> None:
    layout = copied.layout
    table = read_delta(layout)
    test = table.conditions.iloc[read_splits(layout, table.conditions)["pair"].rows("test")]
    wells = pq.read_table(layout.metadata_dir / "wells.parquet").to_pandas()
    treated = wells.merge(test[["drug", "dose_um", "plate"]].drop_duplicates())["sample"]
    genes = pq.read_table(layout.metadata_dir / "genes.parquet").to_pandas()
    folder = RawFolder(copied.raw_source())
    sums = []
    for number, file in enumerate(counted_files(layout, folder)):
        unit = StatsUnit(
            folder=folder,
            file=file,
            control_samples=frozenset(treated),
            known_tokens=genes["token_id"].to_numpy(),
        )
        path = layout.root / f"sums-{number}.parquet"
        write_parquet(control_stats_of_file(unit, lambda n_cells: None), path)
        sums.append(read_sums(path, int(genes["token_id"].max()) + 1))
    panel = choose_panel(type(sums[0]).merged(sums), genes, set(), copied.section(PanelConfig))
    write_parquet(
        pa.Table.from_pandas(panel, schema=PANEL, preserve_index=False), layout.gene_panel
    )
    restamp(layout, "gene_panel", [layout.gene_panel])
    assert build(raw_dir, layout.root, AFTER_PANEL).outcome.is_success

    assert red(gates_of(copied)) == {"genes chosen on controls"}


def test_a_well_of_a_test_drug_left_in_training_is_found_by_the_check_and_by_the_gate(
    copied: Settings,
) -> None:
    layout = copied.layout
    conditions = read_delta(layout).conditions
    test = conditions.iloc[read_splits(layout, conditions)["drug"].rows(names.TEST)]
    drug, plate, dose = test[["drug", "plate", "dose_um"]].iloc[0]
    is_well = (
        (conditions["drug"] == drug)
        & (conditions["plate"] == plate)
        & (conditions["dose_um"] == dose)
    )
    draw_again(layout, "drug", is_well.to_numpy(), names.TRAIN)

    gates = gates_of(copied, "drug")

    assert red(gates) == {"sides are disjoint: drug"}
    assert not findings.no_leak(layout).is_passed
    found = findings.gates(layout)
    assert not found.is_passed
    assert found.is_grave


def test_a_plate_split_with_controls_of_the_other_side_is_found(
    ready: Built, raw_dir: Path, tmp_path: Path
) -> None:
    conditions = read_delta(ready.layout).conditions
    split = read_splits(ready.layout, conditions)["plate_replicate"]
    plate, line = conditions.iloc[split.rows(names.TEST)][["plate", "cell_line_id"]].iloc[0]
    shutil.copytree(raw_dir, tmp_path / "raw")
    for path in sorted((tmp_path / "raw" / "data").iterdir()):
        cells = pq.read_table(path)
        is_control = pc.and_(
            pc.equal(cells["drug"], names.CONTROL_DRUG),
            pc.and_(pc.equal(cells["plate"], plate), pc.equal(cells["cell_line_id"], line)),
        )
        pq.write_table(cells.filter(pc.invert(is_control)), path)
    made = build(tmp_path / "raw", tmp_path / "data", "*pseudobulk,*filtered_pairs")
    fewest = made.settings.section(DeltaConfig).min_control_cells
    build_delta_shards(
        made.layout, DeltaConfig(min_control_cells=fewest, fallback_to_other_plates=True)
    )
    assert build(tmp_path / "raw", tmp_path / "data", AFTER_DELTA).outcome.is_success
    is_borrowed_N = read_delta(made.layout).conditions[names.IS_FALLBACK_CONTROL].to_numpy()
    assert is_borrowed_N.any()
    draw_again(made.layout, "plate_replicate", is_borrowed_N, names.TEST)

    gates = gates_of(made.settings, "plate_replicate")

    assert red(gates) == {"controls are the plate's own: plate_replicate"}
    assert not findings.no_leak(made.layout).is_passed
