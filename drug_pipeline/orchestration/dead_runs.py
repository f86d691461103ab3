"""What a run that was killed has left behind, and how the next one clears it away.

What belongs here: runs that Dagster's history still calls going, temporary files and folders.
What does not: MLflow's records (``tracking/store.py``), whose processes are marked there.
"""

from typing import Final

import dagster as dg
from filelock import Timeout

from drug_pipeline.domain.marks import Marks
from drug_pipeline.storage.build import folder_lock
from drug_pipeline.storage.files import remove_leftovers
from drug_pipeline.storage.layout import Layout

UNFINISHED: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def marks_of(layout: Layout) -> Marks:
    """A mark for each run that goes on a data folder, by its id in Dagster's history."""
    return Marks(layout.manifest_dir / "running")


def end_dead_runs(history: dg.DagsterInstance, layout: Layout) -> None:
    """Call failed each run of a history whose process is gone, on whatever machine it was.

    A run of another history stays marked, until that history is asked.
    """
    marks = marks_of(layout)
    for run_id in marks.left():
        run = history.get_run_by_id(run_id)
        if run is None:
            continue
        if run.status in UNFINISHED:
            history.report_run_failed(
                run, "Its process is gone: it was killed, or its machine stopped."
            )
        marks.remove(run_id)


def sweep(layout: Layout) -> None:
    """Clear away what a killed run left half written, unless another run is writing now."""
    try:
        with folder_lock(layout).acquire(timeout=0):  # filelock refuses one of other arguments
            for folder in layout.made_dirs:
                remove_leftovers(folder)
    except Timeout:
        return
