"""Settings: environment and presets in, clear refusals out."""

from pathlib import Path

import pytest

from drug_pipeline.domain.blocks import KERNEL_BLOCKS, NETWORK_BLOCKS
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.settings import ENV_PREFIX, Settings, load_settings, settings_help


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings_help():
        monkeypatch.delenv(variable, raising=False)


def test_an_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_MIN_CELLS_PER_PAIR", "7")

    assert load_settings().min_cells_per_pair == 7
    assert load_settings(min_cells_per_pair=9).min_cells_per_pair == 9
    assert load_settings(min_cells_per_pair=None).min_cells_per_pair == 7


def test_a_threshold_that_is_not_a_number_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_MIN_CONTROL_CELLS", "many")

    with pytest.raises(
        ConfigurationError, match=r"DRUG_PIPELINE_MIN_CONTROL_CELLS is 'many'.*integer"
    ):
        load_settings()


def test_a_threshold_below_one_is_refused_by_the_name_it_was_given_under() -> None:
    with pytest.raises(ConfigurationError, match=r"^min_cells_per_pair is 0: .*greater than"):
        load_settings(min_cells_per_pair=0)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'tiny', 'demo' or 'full'"):
        load_settings(preset="huge")


def test_a_misspelt_variable_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_MIN_CELL_PER_PAIR", "7")

    with pytest.raises(
        ConfigurationError, match=r"Did you mean DRUG_PIPELINE_MIN_CELLS_PER_PAIR\?"
    ):
        load_settings()


def test_an_unknown_setting_of_the_launchpad_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no setting 'cells'"):
        load_settings(cells=3)


def test_every_setting_has_a_variable_and_says_what_it_does() -> None:
    described = settings_help()

    assert set(described) == {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert all(len(text) > 10 for text in described.values())


def test_the_data_folder_is_absolute_whatever_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings(data_dir="made").layout.root == tmp_path / "made"


def test_the_raw_source_carries_endpoint_patience_and_streaming(tmp_path: Path) -> None:
    settings = load_settings(
        raw_dir="s3://screens/tahoe",
        data_dir=tmp_path,
        s3_endpoint="http://localhost:9000",
        remote_retries="2",
        stream_files="8",
    )

    source = settings.raw_source()

    assert str(source) == "s3://screens/tahoe"
    assert source.remote.s3_endpoint == "http://localhost:9000"
    assert source.remote.retries.n_retries == 2
    assert source.spool is not None
    assert (source.spool.folder, source.spool.n_files) == (tmp_path / "spool", 8)
    assert load_settings().raw_source().spool is None


def test_the_endpoint_of_awss_own_tools_is_taken_unless_ours_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://theirs")
    assert load_settings().s3_endpoint == "http://theirs"

    monkeypatch.setenv("DRUG_PIPELINE_S3_ENDPOINT", "http://ours")
    assert load_settings().s3_endpoint == "http://ours"


def test_an_endpoint_without_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'localhost:9000'; write http://"):
        load_settings(s3_endpoint="localhost:9000").raw_source()


def test_tahoe_s_published_lines_are_held_out_and_fitted_by_one_setting() -> None:
    settings = load_settings(held_out_lines="tahoe_5_holdout")

    assert settings.section(SplitConfig).holdout_lines == {
        "tahoe_5_holdout": ("CVCL_0334", "CVCL_0480", "CVCL_1097", "CVCL_1098", "CVCL_1285")
    }
    assert settings.training().splits[-1] == "tahoe_5_holdout"
    assert "tahoe_5_holdout" not in load_settings().training().splits


def test_other_lines_are_held_out_by_their_ids() -> None:
    plan = load_settings(held_out_lines="CVCL_0031, CVCL_0023,").section(SplitConfig)

    assert plan.holdout_lines == {"held_out_lines": ("CVCL_0023", "CVCL_0031")}


def test_a_holdout_that_names_no_line_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"held_out_lines is ' , ' and names no line"):
        load_settings(held_out_lines=" , ").section(SplitConfig)


def test_the_splits_that_are_fitted_can_be_named_and_a_wrong_name_is_refused() -> None:
    chosen = load_settings(model_splits="few_shot, dose,few_shot", held_out_lines="CVCL_0023")

    assert chosen.training().splits == ("few_shot", "dose", "held_out_lines")
    assert load_settings().training().splits[0] == "pair"
    assert load_settings(model_splits="pair,organ").training().splits == ("pair", "organ")
    with pytest.raises(ConfigurationError, match=r"'few shot' is no split\. There are: pair"):
        load_settings(model_splits="few shot").training()


def test_a_table_or_an_encoder_that_is_named_is_embedded_and_read_by_every_model() -> None:
    settings = load_settings(drug_table="drugs.csv", line_table="lines.npz", smiles_encoder="bert")

    assert settings.section(DrugEmbeddingConfig).made == ["morgan", "descriptors", "encoder", "own"]
    assert settings.section(CellLineEmbeddingConfig).made == [
        "control_pca",
        "organ",
        "drivers",
        "own",
    ]
    training = settings.training()
    assert training.kernel_blocks == KERNEL_BLOCKS.also(
        drugs=("encoder", "own"), cell_lines=("own",)
    )
    assert training.network_blocks == NETWORK_BLOCKS.also(
        drugs=("encoder", "own"), cell_lines=("own",)
    )
    assert load_settings().training().kernel_blocks == KERNEL_BLOCKS


def test_blocks_that_somebody_chose_for_a_model_stay_as_chosen() -> None:
    chosen = load_settings(
        **{"drug_table": "drugs.csv", "training.network_blocks.drugs": ["morgan", "annotations"]}
    ).training()
    assert chosen.network_blocks.drugs == ("morgan", "annotations")
    assert "own" in chosen.kernel_blocks.drugs
    with pytest.raises(ConfigurationError, match="give some of control_pca, organ, drivers, own"):
        load_settings(**{"training.kernel_blocks.cell_lines": ["tissue"]}).training()
