import numpy as np
import pytest

from drug_pipeline.domain.names import UNCLEAR_MOA
from drug_pipeline.synthetic.chemistry import parent_smiles, structure_features_DH
from drug_pipeline.synthetic.config import MAX_LINES, N_TRAP_DRUGS
from drug_pipeline.synthetic.mechanisms import MECHANISMS
from drug_pipeline.synthetic.metadata import cell_line_table
from drug_pipeline.synthetic.public.cell_lines import CELL_LINES
from drug_pipeline.synthetic.public.compounds import BLANK_AFTER_NAME, BRIDGE_DRUG, COMPOUNDS

TRAP_DRUGS = COMPOUNDS[:N_TRAP_DRUGS]


def test_every_structure_is_read_by_rdkit():
    from rdkit import Chem

    unreadable = [c.name for c in COMPOUNDS if c.smiles and Chem.MolFromSmiles(c.smiles) is None]

    assert unreadable == []


def test_names_and_mechanisms_are_sound():
    names = [compound.name for compound in COMPOUNDS]

    assert len(set(names)) == len(names)
    assert all(name == name.strip() for name in names)
    assert {compound.mechanism for compound in COMPOUNDS} == set(MECHANISMS)


def test_the_smallest_screen_holds_every_trap_of_the_drug_names():
    names = {compound.name for compound in TRAP_DRUGS}

    assert {BRIDGE_DRUG, "Trametinib (DMSO_TF solvate)"} <= names
    assert names >= BLANK_AFTER_NAME
    assert [c.name for c in TRAP_DRUGS if c.smiles is None] == [
        "Verteporfin",
        "Sacubitril/Valsartan",
    ]


def test_the_smallest_screen_holds_salts_and_twins():
    parents = [parent_smiles(c.smiles) for c in TRAP_DRUGS if c.smiles]

    assert sum("." in (c.smiles or "") for c in TRAP_DRUGS) >= 3
    assert len(parents) - len(set(parents)) == 3


@pytest.mark.parametrize("n_drugs", [16, 60, 72])
def test_about_half_of_the_drugs_have_an_unclear_class(n_drugs):
    unclear = [c.moa_fine == UNCLEAR_MOA for c in COMPOUNDS[:n_drugs]]

    assert 0.4 <= np.mean(unclear) <= 0.6


def test_twins_have_the_same_features_and_strangers_do_not():
    by_name = {compound.name: compound for compound in COMPOUNDS}
    names = ["crizotinib", "Crizotinib (hydrochloride)", "Paclitaxel"]

    free, salt, other = structure_features_DH([by_name[n] for n in names], n_features=256, seed=0)

    np.testing.assert_array_equal(free, salt)
    assert np.corrcoef(free, other)[0, 1] < 0.6


def test_like_structures_have_likelier_features_than_unlike_ones():
    by_name = {compound.name: compound for compound in COMPOUNDS}
    names = ["Gefitinib", "Erlotinib", "Decitabine"]

    gefitinib, erlotinib, decitabine = structure_features_DH(
        [by_name[n] for n in names], n_features=2_000, seed=0
    )

    assert gefitinib @ erlotinib > gefitinib @ decitabine


def test_one_measured_line_has_no_depmap_id_and_two_are_rare():
    table = cell_line_table().to_pandas()
    without = table.loc[table["Cell_ID_DepMap"].isna(), "cell_name"]
    measured = {line.name for line in CELL_LINES[:MAX_LINES]}

    assert set(without) & measured == {"hTERT-HPNE"}
    assert [line.name for line in CELL_LINES if line.is_rare] == ["NCI-H596", "NCI-H2122"]
    assert all(line.driver_genes for line in CELL_LINES)
