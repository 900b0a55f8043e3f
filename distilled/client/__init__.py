"""The service from Python: `Client`, and the values that it returns."""

from distilled.client.client import DEFAULT_URL, Client
from distilled.client.retry import Backoff
from distilled.client.samples import Sample
from distilled.client.values import Artifact, Event, EventKind, Job, JobState

__all__ = ["DEFAULT_URL", "Artifact", "Backoff", "Client", "Event", "EventKind", "Job", "JobState", "Sample"]
