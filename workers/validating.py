"""One attempt at one validation: an upload becomes the npz of a dataset, or is refused with what was found."""

import errno
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from distilled import npz
from distilled.errors import UploadError
from distilled.kinds import Kind
from distilled.npz import NpzFacts, NpzLimits
from distilled.report import Report
from registry import logs, uploads, validations
from registry.errors import BlobMissing, RegistryError, StoreFull
from registry.models import Validation
from registry.validations import Accepted, ValidationClaim
from workers import intake
from workers.bench import Bench
from workers.intake import apart
from workers.leaseholder import Leaseholder
from workers.pulse import Leave, Pulse, Verdict
from workers.spool import PREFIX, spool_folder

#: How much of all the work fetching the file is.
FETCHED = 0.1


class ValidationReporter(Leaseholder):
    """A validation as the registry sees it."""

    def __init__(self, claim: ValidationClaim, *, bench: Bench) -> None:
        super().__init__(validations, Validation, claim.validation_id, attempt=claim.attempt, bench=bench)
        self.claim = claim
        self._report = Report(kind=Kind(claim.kind), num_bytes=claim.num_bytes)

    def fail(self, failure: Mapping[str, Any]) -> None:
        """Refuse the dataset for what is no fault of the file: that is kept, so that it need not be sent again."""
        again = f' What was sent is kept for a while: POST /v1/datasets with "upload": "{self.claim.upload_id}".'
        self._report.error = {**failure, "detail": str(failure["detail"]) + (again if self.claim.upload_id else "")}
        self.settle(validations.refuse, report=self._report.to_json())

    def validate(self, pulse: Pulse) -> None:
        """Do the validation. Raises Leave where it is lost or to be given back."""
        folder = spool_folder(self.bench.settings.home)
        try:
            with TemporaryDirectory(dir=folder, prefix=PREFIX) as work:
                self._validate(Path(work), pulse)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull from error
            raise

    def _validate(self, work: Path, pulse: Pulse) -> None:
        sent, made = work / "sent", work / "made.npz"
        self._fetch(sent, pulse)
        facts, report = self._looked(sent, made, pulse)
        if facts is None:
            settled = self.settle(validations.refuse, report=report)
        else:
            accepted = Accepted(
                digest=facts.digest,
                blob_digest=self.bench.store.put_file(made),
                num_bytes=made.stat().st_size,
                facts=facts.to_json(),
            )
            settled = self.settle(validations.accept, accepted=accepted, report=report)
            if settled and not self.bench.store.exists(accepted.blob_digest):
                self.bench.store.put_file(made)  # a sweep took the same bytes of a deleted dataset (registry.blobs)
        if not settled:
            raise Leave(Verdict.LOST)
        self._drop()

    def _looked(self, sent: Path, made: Path, pulse: Pulse) -> tuple[NpzFacts | None, dict[str, Any]]:
        """What the npz at `made` holds, or None where the file is refused, and the report."""
        limits = NpzLimits()
        if self._report.kind is Kind.NPZ:
            try:
                facts, self._report = npz.examine(sent, limits=limits)
            except UploadError as error:
                self._report.problems = error.problems
                return None, self._report.to_json()
            sent.replace(made)
            return facts, self._report.to_json()

        def tick(fraction: float) -> None:
            self.progress = FETCHED + (1 - FETCHED) * fraction
            pulse.check(at_snapshot=True)

        settings = self.bench.settings
        most = intake.Limits(seconds=settings.validation_seconds, memory_bytes=settings.validation_memory_bytes)
        log = logs.get(__name__)
        report = apart.look(
            sent,
            made,
            kind=self._report.kind,
            limits=most,
            npz_limits=limits,
            tick=tick,
            log=lambda said: log.error("the process that looked at the file failed", said=said),
        )
        if report["problems"]:
            return None, report
        try:
            return npz.inspect(made, limits=limits), report
        except UploadError as error:
            return None, report | {"problems": [asdict(problem) for problem in error.problems]}

    def _fetch(self, path: Path, pulse: Pulse) -> None:
        """The upload as one file. Raises BlobMissing where a piece of it is gone."""
        if self.claim.upload_id is None:
            raise BlobMissing("The upload is gone; send the file again.")
        with self.bench.database.read() as session:
            parts = uploads.parts(session, self.claim.upload_id)
        with path.open("wb") as file:
            for i, part in enumerate(parts):
                file.write(self.bench.store.get_named(part.key))
                self.progress = FETCHED * i / len(parts)
                pulse.check(at_snapshot=True)
        if path.stat().st_size != self.claim.num_bytes:
            raise BlobMissing("The upload is no longer whole; send the file again.")

    def _drop(self) -> None:
        """Remove what was sent: it has become something else. What is not removed now expires."""
        upload_id = self.claim.upload_id
        if upload_id is None:
            return
        try:
            uploads.remove_pieces(self.bench.store, upload_id)
            with self.bench.database.write() as session:
                uploads.forget(session, upload_id)
        except RegistryError as error:
            logs.get(__name__).warning("the upload was not removed; it will expire", error=str(error))
