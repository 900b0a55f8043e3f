"""The store's unit tests once more, on an S3 endpoint."""

import pytest

from registry import errors
from registry.store import Store
from tests import services
from tests.unit.registry import test_store

pytestmark = pytest.mark.services

TAKEN_OVER = [
    "test_content_is_filed_under_its_digest",
    "test_files_of_many_chunks_are_kept_whole",
    "test_ranges_are_half_open_and_end_with_the_blob",
    "test_what_is_missing_is_named_and_no_path_of_the_host_is",
    "test_a_deleted_blob_is_gone",
    "test_named_objects_change_and_are_listed",
]
globals().update({name: getattr(test_store, name) for name in TAKEN_OVER})


def test_two_processes_see_the_same_bucket(s3_endpoint: services.S3Endpoint) -> None:
    digest = Store.open(s3_endpoint.store_url).put(b"shared")
    assert Store.open(s3_endpoint.store_url).get(digest) == b"shared"


def test_a_bucket_that_is_not_there_is_a_failing_store(s3_endpoint: services.S3Endpoint) -> None:
    store = Store.open(s3_endpoint.store_url.replace(s3_endpoint.bucket, "no-such-bucket"))
    with pytest.raises(errors.StoreError):
        store.put(b"x")
