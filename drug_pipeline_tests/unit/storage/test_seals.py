"""What is kept for later carries its hash: no flipped bit of it is believed."""

import logging
import shutil
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import ForeignFileError, StaleInputError
from drug_pipeline.storage.files import (
    is_sealed,
    read_sealed_json,
    refuse_changed,
    seal,
    seal_folder,
    write_sealed_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore

DOCUMENT = {"rules": ["1", "ab"], "n": 12, "of": {"x": None, "y": [1.5, "é"]}}


def with_a_flipped_bit(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]


def test_a_sealed_document_is_itself_or_nothing_whatever_bit_is_flipped(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_sealed_json(DOCUMENT, path)
    content = path.read_bytes()

    assert read_sealed_json(path) == DOCUMENT
    for place in range(len(content)):
        path.write_bytes(with_a_flipped_bit(content, place))
        read = read_sealed_json(path)
        assert read is None or {k: v for k, v in read.items() if k in DOCUMENT} == DOCUMENT


def test_a_sealed_file_is_known_again_and_one_that_was_changed_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kept.npy"
    path.write_bytes(bytes(100))
    seal(path)
    was_sealed = is_sealed(path)
    path.write_bytes(with_a_flipped_bit(bytes(100), 42))

    with caplog.at_level(logging.WARNING):
        assert (was_sealed, is_sealed(path)) == (True, False)
    assert "kept.npy is damaged" in caplog.text
    assert not is_sealed(tmp_path / "missing")


def test_a_stamp_is_itself_or_missing_whatever_bit_is_flipped(tmp_path: Path) -> None:
    stamps = StampStore(Layout(tmp_path))
    output = tmp_path / "made.txt"
    output.write_text("made")
    stamp = stamps.write(asset="a", code_version="1", inputs={}, config={"n": 1}, files=[output])
    content = stamps.path("a").read_bytes()

    for place in range(len(content)):
        stamps.path("a").write_bytes(with_a_flipped_bit(content, place))
        assert stamps.read("a") in (None, stamp)
    stamps.path("a").write_bytes(content.replace(b"sha256", b"sha25w"))
    with pytest.raises(StaleInputError, match=r"a has not been built .*its stamp is damaged"):
        stamps.require("a")


def test_a_model_whose_copy_was_changed_is_refused_and_the_file_named(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    (saved / "pair").mkdir(parents=True)
    files = [saved / "bundle.json", saved / "pair" / "encoder.npz"]
    for path in files:
        path.write_bytes(bytes(50))
    seal_folder(saved, files)
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))

    refuse_changed(copy)
    (copy / "pair" / "encoder.npz").write_bytes(with_a_flipped_bit(bytes(50), 7))

    with pytest.raises(ForeignFileError, match=r"1 of 2 files .*first: pair/encoder\.npz"):
        refuse_changed(copy)
    seals = copy / "hashes.json"
    seals.write_bytes(with_a_flipped_bit(seals.read_bytes(), 30))
    with pytest.raises(ForeignFileError, match=r"hashes\.json"):
        refuse_changed(copy)
