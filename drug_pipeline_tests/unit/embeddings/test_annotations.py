"""Targets and mechanisms of drugs as a multi-hot table."""

import pandas as pd

from drug_pipeline.embeddings.annotations import annotate_drugs

DRUGS = pd.DataFrame(
    {
        "drug": ["Alpha", "Alpha (hydrochloride)", "Beta", "Gamma"],
        "parent_compound": ["P1", "P1", "P2", "P3"],
        "targets": [["BRAF", "KIT"], [], ["KIT"], []],
        "moa_fine": ["RAF inhibitor", "unclear", "unclear", "unclear"],
    }
)


def test_targets_and_mechanisms_stand_in_blocks_and_unclear_is_no_mechanism():
    table = annotate_drugs(DRUGS)

    assert table.feature_names == ("targets:BRAF", "targets:KIT", "mechanism:RAF inhibitor")
    assert table.rows(["Beta"]).tolist() == [[0.0, 1.0, 0.0]]
    assert table.rows(["Gamma"]).tolist() == [[0.0, 0.0, 0.0]]
    assert table.block("mechanism").vectors_KF.shape == (4, 1)


def test_a_salt_shares_what_is_known_of_its_parent_compound():
    table = annotate_drugs(DRUGS)

    assert table.rows(["Alpha"]).tolist() == table.rows(["Alpha (hydrochloride)"]).tolist()


def test_a_screen_of_drugs_of_which_nothing_is_known_has_no_feature():
    table = annotate_drugs(DRUGS[DRUGS["drug"] == "Gamma"])

    assert table.vectors_KF.shape == (1, 0)
