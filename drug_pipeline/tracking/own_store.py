"""The MLflow store that a data folder has of its own: sqlite and a folder of artifacts.

What belongs here: making it whole, and letting its addresses follow the folder. What does not:
what is recorded in it (``store.py``).

Several processes that open a new sqlite store at once corrupt it, and one that is killed while it
makes one leaves half of it, which nobody can open again. So it is made once, under the caller's
lock and another name.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

ADDRESSES: Final = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns in which MLflow keeps whole addresses of artifacts, by table."""


class OwnStore:
    """``mlflow.db`` and ``artifacts/`` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def uri(self) -> str:
        """Address of the store, as MLflow takes it."""
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def database(self) -> Path:
        """The sqlite file."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> str:
        """Address of the folder that artifacts go to."""
        return (self.folder / "artifacts").resolve().as_uri()

    def open(self, experiment: str) -> None:
        """Make the store with an experiment, or let it follow a folder that was moved or copied.

        Raises
        ------
        sqlite3.Error
            If the file is no database.
        """
        if self.database.exists():
            self._follow(experiment)
        else:
            self._make(experiment)

    def _make(self, experiment: str) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        made = OwnStore(self.folder / ".store.tmp")
        shutil.rmtree(made.folder, ignore_errors=True)
        made.folder.mkdir()
        try:
            store = SqlAlchemyStore(made.uri, self.artifacts)
            store.create_experiment(experiment, artifact_location=self.artifacts)
            store.engine.dispose()
            made.database.rename(self.database)
        finally:
            shutil.rmtree(made.folder, ignore_errors=True)

    def _follow(self, experiment: str) -> None:
        """Write the present folder into every address of artifacts that has a former one."""
        with closing(sqlite3.connect(self.database)) as database, database:
            known = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if not known >= ADDRESSES.keys():  # of an earlier MLflow, which brings it up to date
                return
            found = database.execute(
                "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
            ).fetchone()
            if found is None or found[0] == self.artifacts:
                return
            before = str(found[0])
            for table, columns in ADDRESSES.items():
                for column in columns:
                    database.execute(
                        f"UPDATE {table} SET {column} = :now || substr({column}, :size) "  # noqa: S608
                        f"WHERE {column} = :before OR substr({column}, 1, :size) = :before || '/'",
                        {"now": self.artifacts, "before": before, "size": len(before) + 1},
                    )
