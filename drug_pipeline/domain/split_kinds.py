"""Kinds of split: one row each, from which every room takes what it must know of one.

What belongs here: what a kind holds out, what of a test condition is then new, what people are told
of it. What does not: how roles are drawn (``expression/splits/``), which splits a preset fits
(``training/config.py``). A further kind is a further row of :data:`KINDS`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError

Columns = tuple[str, ...]
Draw = Literal["unit", "most_of_lines", "linked", "crossed", "replicate"]
"""How roles are drawn (``expression/splits/split_draws.py``): by hash of the one unit that is held
apart, or by a draw of its own."""
BaseFolds = Literal["most_of_lines", "pairs", "lines"]
"""What folds hide in which the base of the network predicts training conditions out of fold."""
PEARSON_CENTRED: Final = "pearson_centred"
"""Correlation of Δ about the training mean of the line."""
PEARSON_CENTRED_DOSE: Final = "pearson_centred_dose"
"""The same about the training mean of the line at that dose."""
TABLE_KEYS: Final = {"drugs": names.DRUG, "cell_lines": names.CELL_LINE_ID}
"""Metadata tables that a unit may take its column from, and the key by which conditions find it."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Something that a split can hold out as a whole.

    Parameters
    ----------
    name
        Its column in the table of units (``expression/splits/split_draws.py``).
    columns
        Columns whose values together are the unit; of the conditions, or of ``table``.
    one, many
        What it is called in notes and errors.
    table
        The metadata table that has the column, one of :data:`TABLE_KEYS`; a drug or line of which
        that table knows no value is a unit of its own.
    """

    name: str
    columns: Columns
    one: str
    many: str
    table: str | None = None


PARENT: Final = Unit(
    name="parent", columns=(names.PARENT_COMPOUND,), one="compound", many="parent compounds"
)
LINE: Final = Unit(name="line", columns=(names.CELL_LINE_ID,), one="line", many="cell lines")
PLATE: Final = Unit(name="plate", columns=(names.PLATE,), one="plate", many="plates")
PAIR: Final = Unit(
    name="pair",
    columns=(names.PARENT_COMPOUND, names.CELL_LINE_ID),
    one="compound in that line",
    many="pairs of compound and line",
)
DOSE: Final = Unit(
    name="dose",
    columns=(names.PARENT_COMPOUND, names.DOSE_UM),
    one="compound at that dose",
    many="doses of compounds",
)
PAIR_DOSE: Final = Unit(
    name="pair_dose",
    columns=(names.PARENT_COMPOUND, names.DOSE_UM, names.CELL_LINE_ID),
    one="compound at that dose in that line",
    many="doses of compounds in lines",
)
SCAFFOLD: Final = Unit(
    name="scaffold", columns=(names.SCAFFOLD,), one="scaffold", many="scaffolds", table="drugs"
)
ORGAN: Final = Unit(
    name="organ", columns=(names.ORGAN,), one="organ", many="organs", table="cell_lines"
)
UNITS: Final = (PARENT, LINE, PLATE, PAIR, DOSE, PAIR_DOSE, SCAFFOLD, ORGAN)


@dataclass(frozen=True, kw_only=True)
class SplitKind:
    """What a kind of split asks: what its test has never seen, and what follows from that.

    Parameters
    ----------
    name
        Of the kind, and of the split of that kind that is drawn from any data.
    title, question
        As people call it; what is asked of its test conditions, to stand behind "how good for".
    apart
        Units that may not be on both sides. A well holds one drug at one dose on one plate, so a
        rule on compounds is one on wells too.
    seen
        Units that each held-out condition must share with training: without them it asks another
        question and is ``unused``.
    is_drug_new, is_line_new
        Whether no test drug (parent compound), no test line was ever trained on.
    folds_hide
        Columns whose values inner folds hide from the training side, as the test hides them from
        all; of several, what is hidden under each is scored and what is hidden under none is fitted.
    draw
        How roles are drawn.
    preference
        Of fitted splits that suit a question equally well, the lowest answers; of equal ones the
        first in :data:`KINDS`.
    """

    name: str
    title: str
    question: str
    apart: tuple[Unit, ...]
    seen: tuple[Unit, ...]
    folds_hide: tuple[Columns, ...]
    is_drug_new: bool = False
    is_line_new: bool = False
    draw: Draw = "unit"
    preference: int = 0

    @property
    def is_known(self) -> bool:
        """Whether drug and line of each test condition were trained on."""
        return not (self.is_drug_new or self.is_line_new)

    @property
    def main_metric(self) -> str:
        """The metric that says how good predictions are, by which simple baselines are compared.

        What a dose does to every drug alike is most of what is left of a Δ once the line's mean is
        taken away, and says nothing of a drug that was never seen: there the dose is centred too.
        """
        return PEARSON_CENTRED_DOSE if self.is_drug_new else PEARSON_CENTRED

    @property
    def is_pair_new(self) -> bool:
        """Whether test drugs were trained on, but not in the line."""
        return PAIR in self.apart

    @property
    def is_dose_new(self) -> bool:
        """Whether test drugs were trained on, but at other doses."""
        return DOSE in self.apart

    @property
    def is_few_shot(self) -> bool:
        """Whether held-out lines keep a share of their compounds in training."""
        return self.draw == "most_of_lines"

    @property
    def is_replicate(self) -> bool:
        """Whether the test is a plate on which what was trained on is measured again."""
        return self.draw == "replicate"

    @property
    def clusters(self) -> Columns:
        """Columns whose values err together: lines or doses that are new as a whole, compounds."""
        if self.is_line_new:
            return (names.CELL_LINE_ID, names.PARENT_COMPOUND)
        if self.is_dose_new:
            return (names.DOSE_UM, names.PARENT_COMPOUND)
        return (names.PARENT_COMPOUND,)

    @property
    def base_folds(self) -> BaseFolds | None:
        """What folds of the network's base hide; None where its in-sample residuals are taken."""
        if self.is_few_shot:
            return "most_of_lines"
        if self.is_known:
            return "pairs"
        return None if self.is_drug_new else "lines"

    def routing_key(self, *, is_drug_new: bool, is_line_new: bool) -> tuple[int, ...]:
        """Where the kind stands among those that could answer a question; the lowest key answers.

        First kinds that take as new whatever is new in the question, the least cautious ahead; then
        the others, the most cautious ahead. A new drug weighs more than a new line.
        """
        caution = 2 * self.is_drug_new + self.is_line_new
        covers = self.is_drug_new >= is_drug_new and self.is_line_new >= is_line_new
        place = SPLIT_NAMES.index(self.name)
        return (0 if covers else 1, caution if covers else -caution, self.preference, place)


KINDS: Final[Mapping[str, SplitKind]] = {
    kind.name: kind
    for kind in (
        SplitKind(
            name="pair",
            title="Unseen pair",
            question="a known drug in a known line, never measured together",
            apart=(PAIR,),
            seen=(PARENT, LINE),
            folds_hide=((names.PARENT_COMPOUND, names.CELL_LINE_ID),),
        ),
        SplitKind(
            name="few_shot",
            title="Few-shot line",
            question="most drugs of a line of which a few are known",
            apart=(PAIR,),
            seen=(PARENT, LINE),
            folds_hide=((names.CELL_LINE_ID,),),
            draw="most_of_lines",
        ),
        SplitKind(
            name="cell_line",
            title="Unseen cell line",
            question="known drugs in a line never treated in training",
            apart=(LINE,),
            seen=(PARENT,),
            is_line_new=True,
            folds_hide=((names.CELL_LINE_ID,),),
        ),
        SplitKind(
            name="organ",
            title="Unseen organ",
            question="known drugs in lines of an organ of which no line was treated in training",
            apart=(ORGAN,),
            seen=(PARENT,),
            is_line_new=True,
            # Conditions that are fitted carry no organ: inner folds hide lines one by one.
            folds_hide=((names.CELL_LINE_ID,),),
        ),
        SplitKind(
            name="drug",
            title="Unseen drug",
            question="parent compounds never seen, all their salts and doses held out",
            apart=(PARENT,),
            seen=(LINE,),
            is_drug_new=True,
            folds_hide=((names.PARENT_COMPOUND,),),
        ),
        SplitKind(
            name="scaffold",
            title="Unseen scaffold",
            question="drugs whose chemical scaffold was never seen",
            apart=(PARENT, SCAFFOLD),
            seen=(LINE,),
            is_drug_new=True,
            folds_hide=((names.PARENT_COMPOUND,),),
            draw="linked",
        ),
        SplitKind(
            name="both",
            title="Unseen drug, unseen line",
            question="a drug in a line, neither of which was trained on",
            apart=(PARENT, LINE),
            seen=(),
            is_drug_new=True,
            is_line_new=True,
            folds_hide=((names.PARENT_COMPOUND,), (names.CELL_LINE_ID,)),
            draw="crossed",
        ),
        SplitKind(
            name="dose",
            title="Unseen dose",
            question="a known drug in a known line at another dose",
            apart=(DOSE,),
            seen=(PAIR,),
            folds_hide=((names.DRUG, names.DOSE_UM),),
            preference=1,
        ),
        SplitKind(
            name="plate_replicate",
            title="Across plates",
            question="known conditions measured again on a plate held out",
            apart=(PLATE,),
            seen=(PAIR_DOSE,),
            folds_hide=((names.DRUG, names.DOSE_UM, names.PLATE),),
            draw="replicate",
        ),
    )
}
"""Every kind of split by name, in the order in which splits are drawn and reported."""
SPLIT_NAMES: Final = tuple(KINDS)
"""Splits that are drawn from any data; each is also the kind of its questions."""
DECIDING_SPLITS: Final = ("pair", "plate_replicate", "drug", "cell_line")
"""Splits whose frozen test decides who is champion, the first that was fitted."""
MEASURED_AGAIN: Final = ("plate_replicate", "pair")
"""Splits whose test stands for questions about what was measured, the best first."""


def deciding_split(fitted: Collection[str]) -> str:
    """Which of the fitted splits decides who is champion."""
    return next(name for name in (*DECIDING_SPLITS, *fitted) if name in fitted)


def kind_of(name: str) -> SplitKind:
    """The row of a kind of split.

    Raises
    ------
    ConfigurationError
        If there is no such kind.
    """
    if name not in KINDS:
        msg = (
            f"{name!r} is no kind of split. There are: {', '.join(KINDS)}. Materialise splits "
            "and what follows again, or use the version of the code that made them."
        )
        raise ConfigurationError(msg)
    return KINDS[name]
