"""What a bar says of speed and time left."""

import pytest

from drug_pipeline.orchestration.pace import Pace, spoken


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_and_the_time_left_follow_from_what_was_done(clock: Clock) -> None:
    pace = Pace(clock)
    pace.tell(1_000, 61_000)
    clock.seconds = 10.0

    assert pace.tell(21_000, 61_000) == "2,000/s, 20 s left"


def test_work_slower_than_one_a_second_tells_the_time_alone(clock: Clock) -> None:
    pace = Pace(clock)
    pace.tell(0, 8)
    clock.seconds = 100.0

    assert pace.tell(2, 8) == "5 min left"


@pytest.mark.parametrize(("done", "total"), [(0, 8), (3, 0)], ids=["nothing done", "no total"])
def test_nothing_is_foretold_without_grounds(clock: Clock, done: int, total: int) -> None:
    pace = Pace(clock)
    pace.tell(0, total)
    clock.seconds = 10.0

    assert pace.tell(done, total) == ""


def test_nothing_is_foretold_in_the_first_second(clock: Clock) -> None:
    pace = Pace(clock)
    pace.tell(0, 8)
    clock.seconds = 0.5

    assert pace.tell(4, 8) == ""


@pytest.mark.parametrize("step", [(1, 20), (0, 8)], ids=["another total", "back to the start"])
def test_a_new_piece_of_work_has_a_speed_of_its_own(clock: Clock, step: tuple[int, int]) -> None:
    pace = Pace(clock)
    pace.tell(0, 8)
    clock.seconds = 80.0
    pace.tell(8, 8)

    assert pace.tell(*step) == ""
    clock.seconds = 82.0
    assert pace.tell(step[0] + 4, step[1]).startswith("2/s, ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3_600, "60 min"), (7_500, "2 h 05 min")],
)
def test_times_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
