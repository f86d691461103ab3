"""Reading from a store that may fail for a while: retries with backoff, bounded and logged.

What belongs here: which errors pass, how long to wait, going on with a file where it broke off.
What does not: which stores there are (``raw/stores.py``), what the files hold.
"""

import io
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar

from drug_pipeline.domain.errors import ConfigurationError, RawAccessError, RawDataError

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS: Final = 60.0
REFUSALS: Final = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "INVALID_CLIENT_TOKEN_ID",
    "UNRECOGNIZED_CLIENT",
    "EXPIRED_TOKEN",
    "NO_SUCH_BUCKET",
    "PERMANENT_REDIRECT",
)
"""Codes in the text of S3 errors that another try does not mend."""
MISSING: Final = ("NO_SUCH_KEY", "No such file or directory")
"""In the text of errors that mean a missing file and are not ``FileNotFoundError``."""
REFUSING_STATUS: Final = (400, 401, 403, 404)

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How much patience a remote store gets.

    Parameters
    ----------
    n_retries
        Tries after the first; the errors before the last are logged as warnings.
    backoff_seconds
        Wait before the second try; doubled each time, at most a minute.
    timeout_seconds
        Silence after which a connection counts as broken.
    """

    n_retries: int = 5
    backoff_seconds: float = 1.0
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.n_retries < 0 or self.backoff_seconds < 0 or self.timeout_seconds <= 0:
            msg = (
                f"{self.n_retries} retries, {self.backoff_seconds} s of backoff, "
                f"{self.timeout_seconds} s of patience: no value may be negative, the last not 0."
            )
            raise ConfigurationError(msg)

    def wait_seconds(self, attempt: int) -> float:
        """Seconds to wait after so many failed tries."""
        return min(self.backoff_seconds * 2.0 ** (attempt - 1), MAX_WAIT_SECONDS)


def with_retries(config: RetryConfig, what: str, operation: Callable[[], Result]) -> Result:
    """The result of an operation on a remote store, tried again while errors may pass.

    Raises
    ------
    FileNotFoundError
        If there is no such file; that is an answer.
    RawAccessError
        If the store refuses, or fails once more than ``n_retries`` allows.
    """
    for attempt in range(1, config.n_retries + 2):
        try:
            return operation()
        except FileNotFoundError:
            raise
        except _transport_errors() as error:
            if any(text in str(error) for text in MISSING):
                raise FileNotFoundError(what) from error
            if is_refusal(error):
                msg = f"{what}: the store refuses ({error}). {_access_advice(str(error))}"
                raise RawAccessError(msg) from error
            if attempt > config.n_retries:
                msg = (
                    f"{what}: failed {attempt} times, last with: {error}. Nothing of it was kept. "
                    "Check network and store, then run again; what is finished is not done twice."
                )
                raise RawAccessError(msg) from error
            wait = config.wait_seconds(attempt)
            logger.warning(
                "%s: %s; try %d of %d in %.1f s",
                what,
                error,
                attempt + 1,
                config.n_retries + 1,
                wait,
            )
            time.sleep(wait)
    msg = "the loop above returns or raises"
    raise AssertionError(msg)


def is_refusal(error: BaseException) -> bool:
    """Whether a store has answered, and its answer is no."""
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) in REFUSING_STATUS:
        return True
    return isinstance(error, PermissionError) or any(code in str(error) for code in REFUSALS)


class RetryingFile(io.RawIOBase):
    """A remote file, read at random; a read that breaks is repeated on a new connection.

    A file that was replaced in between is refused, so that no two contents are mixed.

    Parameters
    ----------
    open_file
        Opens the file anew and gives what tells its content apart from any other of the name.
    size_bytes
        Its length.
    """

    def __init__(
        self,
        name: str,
        size_bytes: int,
        open_file: Callable[[], tuple[BinaryIO, Any]],
        config: RetryConfig,
    ) -> None:
        super().__init__()
        self._name = name
        self._size = size_bytes
        self._open_file = open_file
        self._config = config
        self._place = 0
        self._stream: BinaryIO | None = None
        self._version: Any = None
        with_retries(config, f"opening {name}", self._connected)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from here on, all that were asked for unless the file ends."""
        left = max(self._size - self._place, 0)
        n_wanted = left if size is None or size < 0 else min(size, left)
        what = f"reading {n_wanted} bytes of {self._name} at {self._place}"
        content = with_retries(self._config, what, lambda: self._read_at(self._place, n_wanted))
        self._place += n_wanted
        return content

    def close(self) -> None:
        """Let go of the connection."""
        self._disconnect()
        super().close()

    def _read_at(self, place: int, n_wanted: int) -> bytes:
        """One try; a connection that failed is not used again."""
        pieces = []
        try:
            stream = self._connected()
            stream.seek(place)
            while n_wanted > 0:
                piece = stream.read(n_wanted)
                if not piece:
                    msg = f"the answer ended {n_wanted} bytes early"
                    raise OSError(msg)
                pieces.append(piece)
                n_wanted -= len(piece)
        except _transport_errors():
            self._disconnect()
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _connected(self) -> BinaryIO:
        if self._stream is None:
            stream, version = self._open_file()
            if self._version is None:
                self._version = version
            if version != self._version:
                stream.close()
                msg = (
                    f"{self._name} changed while it was being read. "
                    "Let whatever writes it finish, then run again."
                )
                raise RawDataError(msg)
            self._stream = stream
        return self._stream

    def _disconnect(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()


def _transport_errors() -> tuple[type[Exception], ...]:
    """What stores raise when they fail: OSError, and that of the hub's HTTP library if loaded."""
    hub = sys.modules.get("huggingface_hub.errors")
    return (OSError,) if hub is None else (OSError, *hub.HfHubHTTPError.__bases__)


def _access_advice(text: str) -> str:
    if "NO_SUCH_BUCKET" in text:
        return "There is no such bucket; check the address and DRUG_PIPELINE_S3_ENDPOINT."
    return (
        "Give credentials (S3: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; Google "
        "Cloud: GOOGLE_APPLICATION_CREDENTIALS; hub: HF_TOKEN), or set "
        "DRUG_PIPELINE_ANONYMOUS=1 for a public bucket."
    )
