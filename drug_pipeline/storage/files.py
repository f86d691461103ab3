"""Files written whole or not at all, and their content hashes."""

import errno
import hashlib
import io
import json
import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain.errors import DiskFullError, ForeignFileError, first_few

logger = logging.getLogger(__name__)

SEAL: Final = "sha256_of_this"
"""Key of a JSON document's own hash."""
HASHES_FILE: Final = "hashes.json"
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, a spent quota, a file that may not grow."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well.

    Nothing half-written is ever seen under ``path``; on an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    retired = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    try:
        yield temporary
        if path.exists():
            path.rename(retired)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Clear away what a killed run left half done below ``folder``.

    A folder that was out of its place when the process died goes back to it.
    """
    for temporary in list(folder.glob("**/.*.tmp")):
        _remove(temporary)
    for retired in list(folder.glob("**/.*.old")):
        place = retired.with_name(retired.name[1:].rsplit(".", 2)[0])
        if place.exists():
            _remove(retired)
        else:
            retired.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one Parquet file whole: same table, same bytes."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_npy(array: NDArray[Any], path: Path) -> None:
    """Write one ``.npy`` file whole."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            np.save(stream, array, allow_pickle=False)
        except OSError as error:  # numpy says how much it wrote and not why it could not go on
            raise OSError(error.errno or errno.ENOSPC, str(error), str(path)) from error


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Turns the failure of a write for want of room into an error that says so.

    Raises
    ------
    DiskFullError
        If the disk, a quota or the limit on a file's size is reached.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free_mb = shutil.disk_usage(folder).free / 2**20
        msg = (
            f"no room to write to {folder} ({error}); {free_mb:,.0f} MB are free. Nothing "
            "half-written is left. Make room and run again: what is finished is not done twice."
        )
        raise DiskFullError(msg) from error


def write_text(text: str, path: Path) -> None:
    """Write one UTF-8 text file whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(document: Any, path: Path) -> None:
    """Write one JSON file whole, keys sorted."""
    write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n", path)


def read_json(path: Path) -> Any:
    """The document of one JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder, at any depth, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of some files of a folder, by name."""
    return {name: sha256_of_file(folder / name) for name in names}


def is_as_hashed(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Whether the files of a folder are there and are those that :func:`hashes_of` saw."""
    return all(
        (folder / name).is_file() and sha256_of_file(folder / name) == sha256
        for name, sha256 in hashes.items()
    )


def sha256_of_json(document: Any) -> str:
    """SHA-256 of a JSON document, independent of key order."""
    text = json.dumps(document, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_table(table: pa.Table) -> str:
    """SHA-256 of a table's content, independent of chunking."""
    sink = io.BytesIO()
    combined = table.combine_chunks()
    with pa.ipc.new_stream(sink, combined.schema) as writer:
        writer.write_table(combined)
    return hashlib.sha256(sink.getbuffer()).hexdigest()


def seal(path: Path) -> None:
    """Write the hash of a file that is kept for later beside it; ``is_sealed`` compares them."""
    write_text(sha256_of_file(path) + "\n", _seal_of(path))


def is_sealed(path: Path) -> bool:
    """Whether a file is there and is the one that was sealed; another one is named in the log."""
    if not path.is_file():
        return False
    sealed = _seal_of(path)
    is_same = sealed.is_file() and sealed.read_bytes() == f"{sha256_of_file(path)}\n".encode()
    if not is_same:
        logger.warning("%s is damaged, or of an earlier version; it is made again", path)
    return is_same


def write_sealed_json(document: Mapping[str, Any], path: Path) -> None:
    """Write one JSON file with the hash of its own content, which ``read_sealed_json`` compares."""
    write_json({**document, SEAL: sha256_of_json(document)}, path)


def read_sealed_json(path: Path) -> dict[str, Any] | None:
    """The document of ``write_sealed_json``; None where it is missing, or damaged (then logged).

    One without a hash, of an earlier version, is taken as it is.
    """
    if not path.is_file():
        return None
    try:
        document = read_json(path)
    except ValueError:  # no UTF-8, or no JSON
        document = None
    if isinstance(document, dict):
        seal_there = document.pop(SEAL, None)
        if seal_there is None or seal_there == sha256_of_json(document):
            return document
    logger.warning("%s is damaged; what it was made from is looked at again", path)
    return None


def seal_folder(folder: Path, files: Iterable[Path]) -> Path:
    """The file written into a folder with the hashes of its files, which travels with a copy."""
    names = [path.relative_to(folder).as_posix() for path in files]
    write_sealed_json({"sha256": hashes_of(folder, names)}, folder / HASHES_FILE)
    return folder / HASHES_FILE


def refuse_changed(folder: Path) -> None:
    """Refuse a sealed folder, or a copy of it, in which files are missing or not as they were.

    Raises
    ------
    ForeignFileError
        If there are such files: how many, and which first.
    """
    if not (folder / HASHES_FILE).is_file():  # of an earlier version
        return
    sealed = read_sealed_json(folder / HASHES_FILE)
    hashes = {HASHES_FILE: ""} if sealed is None else sealed["sha256"]
    changed = [name for name, sha256 in hashes.items() if not is_as_hashed(folder, {name: sha256})]
    if changed:
        msg = (
            f"{len(changed)} of {len(hashes)} files in {folder} are missing or were changed since "
            f"they were saved; first: {first_few(changed)}. Restore them, or train and register "
            "the model again."
        )
        raise ForeignFileError(msg)


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
