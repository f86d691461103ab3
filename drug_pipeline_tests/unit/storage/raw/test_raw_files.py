"""The raw folder on disk and behind a URL."""

import hashlib
import pickle
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import MetadataError, RawDataError
from drug_pipeline.storage.raw.raw_files import METADATA_TABLES, RawFolder


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    table = pa.table({"a": [1, 2, 3]})
    for name in ("data/train-b.parquet", "data/train-a.parquet", "data/.hidden.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path)
    (tmp_path / "data" / "notes.txt").write_text("not data")
    (tmp_path / "metadata").mkdir()
    for name in METADATA_TABLES:
        pq.write_table(table, tmp_path / "metadata" / f"{name}.parquet")
    return tmp_path


def test_only_visible_parquet_files_are_listed_in_name_order(raw_dir: Path) -> None:
    files = RawFolder(raw_dir).data_files()

    assert [file.name for file in files] == ["train-a.parquet", "train-b.parquet"]
    assert files[0].size_bytes == (raw_dir / "data" / "train-a.parquet").stat().st_size
    assert files[0].version_tag == str((raw_dir / "data" / "train-a.parquet").stat().st_mtime_ns)


def test_an_opened_file_is_readable_parquet_and_its_hash_is_of_its_content(raw_dir: Path) -> None:
    folder = RawFolder(raw_dir)

    with folder.open("train-a.parquet") as stream:
        n_rows = pq.ParquetFile(stream).metadata.num_rows

    content = (raw_dir / "data" / "train-a.parquet").read_bytes()
    assert n_rows == 3
    assert folder.sha256("train-a.parquet") == hashlib.sha256(content).hexdigest()


def test_a_folder_travels_to_another_process(raw_dir: Path) -> None:
    copy = pickle.loads(pickle.dumps(RawFolder(raw_dir)))

    assert copy.data_files() == RawFolder(raw_dir).data_files()


def test_a_url_gives_the_same_files_tables_and_hashes_as_the_path(raw_dir: Path) -> None:
    memory, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    memory.put(str(raw_dir), root, recursive=True)

    local, remote = RawFolder(raw_dir), RawFolder(f"memory:/{root}")

    assert [f.name for f in remote.data_files()] == [f.name for f in local.data_files()]
    assert remote.data_files()[0].version_tag
    assert remote.stat("train-a.parquet") == remote.data_files()[0]
    assert remote.sha256("train-a.parquet") == local.sha256("train-a.parquet")
    assert remote.metadata_table("drug_metadata").equals(local.metadata_table("drug_metadata"))
    assert remote.metadata_fingerprints() == local.metadata_fingerprints()


def test_a_missing_raw_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"does not exist.*DRUG_PIPELINE_RAW_DIR.*synth"):
        RawFolder(tmp_path / "nowhere").data_files()


def test_an_empty_raw_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(RawDataError, match=r"no \.parquet file.*Put the raw files there"):
        RawFolder(tmp_path).data_files()


def test_a_vanished_file_is_named(raw_dir: Path) -> None:
    folder = RawFolder(raw_dir)
    (raw_dir / "data" / "train-a.parquet").unlink()

    with pytest.raises(RawDataError, match=r"train-a\.parquet is no longer"):
        folder.stat("train-a.parquet")
    with pytest.raises(RawDataError, match=r"train-a\.parquet does not exist"):
        folder.open("train-a.parquet")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(RawDataError, match="no file system for nonsense://bucket"):
        RawFolder("nonsense://bucket")


def test_a_scheme_whose_package_is_missing_says_which_to_install() -> None:
    with pytest.raises(RawDataError, match=r"no file system for abfs://box.*[Ii]nstall adlfs"):
        RawFolder("abfs://box/screen")


def test_missing_metadata_files_are_all_named(raw_dir: Path) -> None:
    (raw_dir / "metadata" / "drug_metadata.parquet").unlink()

    with pytest.raises(MetadataError, match=r"1 of 4 metadata files.*drug_metadata\.parquet"):
        RawFolder(raw_dir).metadata_fingerprints()
    with pytest.raises(MetadataError, match=r"metadata/drug_metadata\.parquet is missing"):
        RawFolder(raw_dir).metadata_table("drug_metadata")


def test_a_metadata_file_that_is_not_parquet_is_refused(raw_dir: Path) -> None:
    (raw_dir / "metadata" / "drug_metadata.parquet").write_text("drug,targets")

    with pytest.raises(MetadataError, match="cannot be read as Parquet"):
        RawFolder(raw_dir).metadata_table("drug_metadata")
