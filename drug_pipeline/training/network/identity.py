"""What a fitted model belongs to: genes, data, split and embeddings, by content."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drug_pipeline.domain.errors import CheckpointError, first_few
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.storage.files import sha256_of_json
from drug_pipeline.training.split_data import SplitData


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a checkpoint belongs to. Two with the same identity are interchangeable.

    Keys and vectors of the embeddings are hashes; an empty text (vectors, in checkpoints written
    before they were hashed) is not known and not compared.
    """

    genes: tuple[int, ...]
    data: str
    split: str
    drug_keys: str
    line_keys: str
    drug_vectors: str = ""
    line_vectors: str = ""

    @classmethod
    def of(
        cls,
        *,
        genes: tuple[int, ...],
        data: str,
        split: str,
        drugs: EmbeddingTable,
        lines: EmbeddingTable,
    ) -> "Identity":
        """The identity of a run."""
        return cls(
            genes=genes,
            data=data,
            split=split,
            drug_keys=sha256_of_json(list(drugs.keys)),
            line_keys=sha256_of_json(list(lines.keys)),
            drug_vectors=drugs.fingerprint,
            line_vectors=lines.fingerprint,
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Identity":
        """The identity that ``asdict`` made a document of.

        Raises
        ------
        KeyError, TypeError
            If the document is of something else.
        """
        return cls(**{**document, "genes": tuple(document["genes"])})

    def require(self, found: "Identity", where: Path) -> None:
        """Refuse a checkpoint of another identity.

        Raises
        ------
        CheckpointError
            Naming what differs.
        """
        mine, theirs = asdict(self), asdict(found)
        is_known = {name: bool(mine[name] and theirs[name]) for name in mine}
        differing = [name for name in mine if is_known[name] and mine[name] != theirs[name]]
        if not differing:
            return
        detail = _gene_difference(self.genes, found.genes) if "genes" in differing else ""
        msg = (
            f"checkpoint {where} is of other {', '.join(map(_in_words, differing))} than asked "
            f"for.{detail} "
            "Train again, or point to the checkpoint that belongs to these data."
        )
        raise CheckpointError(msg)


def identity_of(data: SplitData) -> Identity:
    """What a checkpoint of these data is known by."""
    return Identity.of(
        genes=data.genes,
        data=data.data_fingerprint,
        split=data.split.fingerprint,
        drugs=data.features.drugs,
        lines=data.features.cell_lines,
    )


def _in_words(name: str) -> str:
    """A part of an identity as people call it."""
    return name.replace("_", " ").replace("line", "cell-line")


def _gene_difference(wanted: tuple[int, ...], found: tuple[int, ...]) -> str:
    if sorted(wanted) == sorted(found):
        return " The genes are the same, in another order."
    missing = sorted(set(wanted) - set(found))
    return f" It has {len(found)} genes, not {len(wanted)}; not in it: {first_few(missing)}."
