"""A small screen for tests of splits: what was measured, on which plate, and the drugs behind it."""

from collections.abc import Callable, Iterable

import pandas as pd
import pytest

from drug_pipeline.domain import names

Condition = tuple[str, float, str, str]
ConditionsOf = Callable[[Iterable[Condition]], pd.DataFrame]

TWINS = {"drug01 hydrochloride": "drug01"}


def parent_of(drug: str) -> str:
    return f"PARENT-{TWINS.get(drug, drug)}"


@pytest.fixture
def conditions_of() -> ConditionsOf:
    """Builds a table of conditions from (drug, dose, line, plate); salts share their parent."""

    def build(rows: Iterable[Condition]) -> pd.DataFrame:
        table = pd.DataFrame(list(rows), columns=list(names.CONDITION_KEY))
        table[names.PARENT_COMPOUND] = [parent_of(drug) for drug in table[names.DRUG]]
        table[names.N_CELLS] = 100
        table[names.N_CONTROL_CELLS] = 50
        table[names.TOTAL_COUNTS] = 1000
        table[names.IS_FALLBACK_CONTROL] = False
        return table

    return build


@pytest.fixture
def screen(conditions_of: ConditionsOf) -> pd.DataFrame:
    """24 drugs (one a salt of another) at a dose a plate in 12 lines; plate4 repeats plate3."""
    drugs = [f"drug{number:02}" for number in range(23)] + list(TWINS)
    lines = [f"CVCL_{number:04}" for number in range(12)]
    doses = {"plate1": 0.05, "plate2": 0.5, "plate3": 5.0, "plate4": 5.0}
    return conditions_of(
        (drug, dose, line, plate)
        for plate, dose in doses.items()
        for line in lines
        for drug in drugs
    )


@pytest.fixture
def drugs(screen: pd.DataFrame) -> pd.DataFrame:
    """The drugs of the screen; three neighbours share a scaffold."""
    drug = sorted(set(screen[names.DRUG]))
    number = [int(name[4:6]) for name in drug]
    return pd.DataFrame(
        {
            names.DRUG: drug,
            names.PARENT_COMPOUND: [parent_of(name) for name in drug],
            names.SCAFFOLD: [f"scaffold{one // 3}" for one in number],
        }
    )


@pytest.fixture
def cell_lines(screen: pd.DataFrame) -> pd.DataFrame:
    """The lines of the screen, two of an organ; of the last two no organ is known."""
    line = sorted(set(screen[names.CELL_LINE_ID]))
    organs = [f"organ{number // 2}" for number in range(len(line) - 2)]
    return pd.DataFrame({names.CELL_LINE_ID: line, names.ORGAN: [*organs, None, None]})
