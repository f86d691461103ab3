"""What is tried again, how often, and what comes of it."""

import io
from typing import Any

import pytest

from drug_pipeline.domain.errors import ConfigurationError, RawAccessError, RawDataError
from drug_pipeline.storage.raw.retries import RetryConfig, RetryingFile, with_retries

QUICK = RetryConfig(n_retries=2, backoff_seconds=0.0)


class Flaky:
    """Raises these errors in turn, then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.n_calls = 0

    def __call__(self) -> int:
        self.n_calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


class AnswerError(OSError):
    """An HTTP error as the hub's client raises it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.response = type("Response", (), {"status_code": status_code})


def test_errors_that_pass_are_tried_again() -> None:
    flaky = Flaky(OSError("reset"), AnswerError(503))

    assert with_retries(QUICK, "reading", flaky) == 7
    assert flaky.n_calls == 3


def test_the_last_error_is_told_with_what_was_done_and_how_often() -> None:
    flaky = Flaky(*[OSError(f"reset {number}") for number in range(9)])

    with pytest.raises(RawAccessError, match=r"^reading x: failed 3 times, last with: reset 2"):
        with_retries(QUICK, "reading x", flaky)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("no"),
        AnswerError(401),
        AnswerError(403),
        OSError("AWS Error ACCESS_DENIED during GetObject operation"),
    ],
    ids=["permission", "401", "403", "S3"],
)
def test_a_refusal_is_final(error: Exception) -> None:
    flaky = Flaky(error)

    with pytest.raises(RawAccessError, match="refuses"):
        with_retries(QUICK, "reading", flaky)
    assert flaky.n_calls == 1


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("x"), OSError("AWS Error NO_SUCH_KEY during GetObject operation")],
    ids=["plain", "S3"],
)
def test_a_missing_file_is_an_answer(error: Exception) -> None:
    flaky = Flaky(error)

    with pytest.raises(FileNotFoundError):
        with_retries(QUICK, "reading", flaky)
    assert flaky.n_calls == 1


def test_an_error_of_our_own_code_is_not_tried_again() -> None:
    flaky = Flaky(KeyError("bug"))

    with pytest.raises(KeyError):
        with_retries(QUICK, "reading", flaky)
    assert flaky.n_calls == 1


class Breaking(io.BytesIO):
    """Gives at most four bytes, then fails."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() % 8 == 4:
            msg = "reset"
            raise OSError(msg)
        return super().read(min(size or 4, 4))


def reopening(streams: list[tuple[Any, str]]) -> Any:
    return lambda: streams.pop(0)


def test_a_read_is_whole_over_connections_that_break() -> None:
    content = bytes(range(8))
    streams = [(Breaking(content), "v1"), (io.BytesIO(content), "v1")]
    file = RetryingFile("x", 8, reopening(streams), QUICK)

    assert file.read() == content
    assert file.read() == b""
    file.seek(-3, io.SEEK_END)
    assert (file.tell(), file.read(2)) == (5, bytes([5, 6]))
    file.close()


def test_contents_of_two_versions_are_not_mixed() -> None:
    streams = [(Breaking(bytes(8)), "v1"), (io.BytesIO(bytes(8)), "v2")]
    file = RetryingFile("x", 8, reopening(streams), QUICK)

    with pytest.raises(RawDataError, match="x changed while it was being read"):
        file.read()


@pytest.mark.parametrize("field", ["n_retries", "backoff_seconds", "timeout_seconds"])
def test_negative_patience_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match="no value may be negative"):
        RetryConfig(**{field: -1})
