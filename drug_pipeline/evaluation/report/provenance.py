"""What happened to the data before they were judged, told from the stamps of the assets.

What belongs here: facts and counts of what was left out, for the report. What does not: judging.
"""

from collections.abc import Mapping
from typing import Any, Final

import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.blocks import DRUG_BLOCKS, LINE_BLOCKS
from drug_pipeline.evaluation.report.page import DataFacts
from drug_pipeline.evaluation.report.wording import count
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import QUARANTINED
from drug_pipeline.storage.stamps import Stamp, StampStore

STAGES: Final = {
    "raw_tahoe": "raw files",
    "tahoe_metadata": "metadata",
    "filtered_pairs": "pairs (drug, line)",
    "pseudobulk": "pseudobulk",
    "delta_shards": "conditions",
    "drug_embeddings": "drugs without vectors",
    "cell_line_embeddings": "lines without vectors",
}
"""Assets whose summaries are read for what was left out."""
LEFT_OUT_KEYS: Final = ("dropped", "left_out", "unmatched", "notes")
"""Entries of a stamp's summary that hold reason → number, or reason → names."""
MAX_QUARANTINED: Final = 20


def data_facts(layout: Layout) -> DataFacts:
    """Where the data come from and what was left out on the way; assets not there say nothing."""
    stamps = StampStore(layout)
    summaries: dict[str, Mapping[str, Any]] = {}
    for asset in (*STAGES, "counts"):
        stamp = stamps.read(asset)
        if stamp is not None:
            summaries[asset] = stamp.summary
    dropped = [
        (title, reason, number)
        for asset, title in STAGES.items()
        for reason, number in _left_out(summaries.get(asset, {}))
    ]
    return DataFacts(
        is_generated=bool(summaries.get("tahoe_metadata", {}).get("is_generated", False)),
        facts=_facts(summaries) | _blocks_read(stamps.read("model_full")),
        dropped=dropped,
        quarantined=_quarantined(layout),
    )


def _facts(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    raw, pairs = summaries.get("raw_tahoe", {}), summaries.get("filtered_pairs", {})
    found = {}
    if "n_rows" in raw and "n_ok" in raw:
        found["Raw cells"] = f"{count(raw['n_rows'])} in {count(raw['n_ok'])} files"
    if "n_pairs" in pairs and "n_kept" in pairs:
        found["Pairs (drug, line)"] = f"{count(pairs['n_kept'])} kept of {count(pairs['n_pairs'])}"
    return found


def _blocks_read(model: Stamp | None) -> dict[str, str]:
    """Blocks of vectors that the models may read, and the shares that kernels gave those of users."""
    if model is None or "kernel_blocks" not in model.config:
        return {}
    titles = {"drugs": DRUG_BLOCKS, "cell_lines": LINE_BLOCKS}
    found = {}
    for reader, field in (("linear models", "kernel_blocks"), ("networks", "network_blocks")):
        chosen = model.config[field]
        chosen_titles = {
            of: [known[name].title for name in chosen[of]] for of, known in titles.items()
        }
        found[f"Vectors that {reader} may read"] = (
            f"of drugs: {', '.join(chosen_titles['drugs'])}; of lines: {', '.join(chosen_titles['cell_lines'])}"
        )
    shares = {
        f"{known[name].title} on split {entry.removesuffix(of)}": share
        for of, known in (("_drug_shares", DRUG_BLOCKS), ("_line_shares", LINE_BLOCKS))
        for entry, mix in model.summary.items()
        if entry.endswith(of)
        for name, share in mix.items()
        if known[name].is_given
    }
    read = model.config["kernel_blocks"]
    if any(known[name].is_given for of, known in titles.items() for name in read[of]):
        found["Share in the product kernel"] = (
            ", ".join(f"{title}: {share:.2g}" for title, share in shares.items())
            or "none of those you gave: no inner fold was better for them"
        )
    return found


def _left_out(summary: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Reasons and numbers, whichever way a summary tells them.

    A reason may come with a number, with the names, or with a text that lists the first of them;
    the number of the last stands in ``n_<key>`` where it is the only reason.
    """
    found = []
    for key in LEFT_OUT_KEYS:
        entries = summary.get(key)
        if not isinstance(entries, Mapping):
            continue
        for reason, entry in sorted(entries.items()):
            if isinstance(entry, str):
                total = summary.get(f"n_{key}") if len(entries) == 1 else None
                found.append((f"{reason}: {entry}", int(total or entry.count(",") + 1)))
            else:
                words = str(reason).replace("_", " ")
                found.append((words, entry if isinstance(entry, int) else len(entry)))
    return [(reason, number) for reason, number in found if number]


def _quarantined(layout: Layout) -> dict[str, str]:
    """Raw files that were not read, each with its reason, the first of many."""
    if not layout.raw_manifest.is_file():
        return {}
    files = pq.read_table(layout.raw_manifest).to_pandas()
    unfit = files[files["state"] == QUARANTINED]
    shown = {
        str(row["file"]): str(row[names.REASON])
        for row in unfit.to_dict("records")[:MAX_QUARANTINED]
    }
    if len(unfit) > len(shown):
        shown["…"] = f"and {len(unfit) - len(shown)} more; see the raw inventory"
    return shown
