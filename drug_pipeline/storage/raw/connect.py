"""From the address of a raw folder to the store that has it.

What belongs here: schemes, endpoints, regions, the commit of a hub's repository. What does not:
reading (``raw/stores.py``). Credentials are found the way each store's own tools find them.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow.fs as pafs

from drug_pipeline.domain.errors import ConfigurationError, RawAccessError, RawDataError
from drug_pipeline.storage.raw.retries import RetryConfig, with_retries
from drug_pipeline.storage.raw.stores import FsspecStore, LocalStore, ObjectStore, Store

DEFAULT_S3_REGION: Final = "us-east-1"
"""For stores that are not Amazon's: they take any."""


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """How remote stores are reached; credentials come the way each store's own tools find them.

    Parameters
    ----------
    s3_endpoint
        Address of a store that speaks S3 and is not Amazon's, such as ``http://localhost:9000``.
    s3_region
        None asks Amazon where the bucket lies.
    hf_endpoint
        Of a Hugging Face hub; None is the public one.
    is_anonymous
        Whether to sign no request, for public buckets on S3 and Google Cloud.
    """

    s3_endpoint: str | None = None
    s3_region: str | None = None
    hf_endpoint: str | None = None
    is_anonymous: bool = False
    retries: RetryConfig = field(default_factory=RetryConfig)

    def __post_init__(self) -> None:
        if self.s3_endpoint and not self.s3_endpoint.startswith(("http://", "https://")):
            msg = f"s3_endpoint is {self.s3_endpoint!r}; write http:// or https:// before it."
            raise ConfigurationError(msg)


def open_store(address: str, config: RemoteConfig) -> tuple[Store, str]:
    """The store of an address and the path on it, without a slash at its end.

    Raises
    ------
    RawDataError
        If there is no store for the address, or it cannot be reached.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return LocalStore(), Path(address).expanduser().resolve().as_posix()
    if scheme == "file":
        return LocalStore(), Path(rest).resolve().as_posix()
    if scheme == "s3":
        return ObjectStore(_s3(rest.split("/")[0], config), config.retries), rest.rstrip("/")
    if scheme in ("gs", "gcs"):
        return ObjectStore(_google_cloud(config), config.retries), rest.rstrip("/")
    if scheme == "hf" and not rest.startswith("buckets/"):  # buckets have no commits
        return _hub(address, config)
    return _other(address, config)


def _s3(bucket: str, config: RemoteConfig) -> pafs.S3FileSystem:
    region = config.s3_region
    if region is None:
        region = DEFAULT_S3_REGION if config.s3_endpoint else _region_of(bucket, config)
    scheme, _, host = (config.s3_endpoint or "").rpartition("://")
    return pafs.S3FileSystem(
        anonymous=config.is_anonymous,
        region=region,
        scheme=scheme or "https",
        endpoint_override=host or None,
        connect_timeout=config.retries.timeout_seconds,
        request_timeout=config.retries.timeout_seconds,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


def _region_of(bucket: str, config: RemoteConfig) -> str:
    """Where Amazon says that a bucket lies."""
    try:
        region: str = pafs.resolve_s3_region(bucket)
    except OSError as error:
        msg = (
            f"bucket {bucket} was not found on Amazon S3 ({error}). Check its name and the network; "
            "for another store set DRUG_PIPELINE_S3_ENDPOINT, to skip the question "
            "DRUG_PIPELINE_S3_REGION."
        )
        raise RawAccessError(msg) from error
    return region


def _google_cloud(config: RemoteConfig) -> pafs.GcsFileSystem:
    return pafs.GcsFileSystem(
        anonymous=config.is_anonymous,
        retry_time_limit=timedelta(seconds=config.retries.timeout_seconds),
    )


def _hub(address: str, config: RemoteConfig) -> tuple[Store, str]:
    """A repository of the hub at the commit that its revision names now."""
    from huggingface_hub import HfApi, HfFileSystem

    files = HfFileSystem(endpoint=config.hf_endpoint)

    def pinned() -> str:
        resolved: Any = files.resolve_path(address)
        api = HfApi(endpoint=files.endpoint, token=files.token)
        info = api.repo_info(
            resolved.repo_id, repo_type=resolved.repo_type, revision=resolved.revision
        )
        folder = resolved.path_in_repo.strip("/")
        kind = "" if resolved.repo_type == "model" else f"{resolved.repo_type}s/"
        return f"{kind}{resolved.repo_id}@{info.sha}/{folder}".rstrip("/")

    try:
        root = with_retries(config.retries, f"looking up {address}", pinned)
    except (FileNotFoundError, ValueError, NotImplementedError) as error:
        msg = (
            f"{address} is not a repository of the hub: {error}. Write "
            "hf://datasets/OWNER/NAME[@REVISION]; a private one needs HF_TOKEN."
        )
        raise RawDataError(msg) from error
    return FsspecStore(files, config.retries, is_immutable=True), root


def _other(address: str, config: RemoteConfig) -> tuple[Store, str]:
    import fsspec  # only for the rarer schemes

    try:
        files, root = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        msg = f"no file system for {address}: {error}. Use a local path, s3://, gs:// or hf://."
        raise RawDataError(msg) from error
    return FsspecStore(files, config.retries), root.rstrip("/")
