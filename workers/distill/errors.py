"""What can go wrong in the laboratory, beyond a bad recipe.

* LabError
  - NotFinite
  - DatasetUnavailable      (raised by `workers.distill.data`)
  - DatasetChanged
  - BaseUnavailable         (raised by `workers.sources`)
"""

from distilled.errors import DistilledError


class LabError(DistilledError):
    """The distillation could not go on."""


class NotFinite(LabError):
    """The loss is not a finite number any more; lower `objective.learning_rate`."""


class DatasetUnavailable(LabError):
    """The data set is neither on disk nor could it be downloaded; upload it, or put it into the data folder."""


class DatasetChanged(LabError):
    """The data set is not the one that the artifact was made from; put that back, or distil the artifact again."""


class BaseUnavailable(LabError):
    """The artifact that the job continues is not there any more; restore it, or submit the job with another base."""
