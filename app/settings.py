"""What the front end may be told from outside, beside what the whole service shares."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from app.errors import InsecureBinding
from app.middleware.guard import is_loopback
from app.webhooks import sending
from registry.quotas import Limits
from registry.settings import Settings


class AppSettings(Settings):
    """`DISTILLED_*` variables of the front end."""

    # A secret that is refused is not to be printed.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    api_key: SecretStr | None = Field(None, min_length=1, description="the key that callers send as a Bearer token")
    key_cache_seconds: float = Field(
        5.0, ge=0, le=300, description="a key that was revoked through another replica may open this one for so long"
    )
    audit_days: float = Field(90.0, gt=0, le=36500, description="how long the audit log keeps a line")
    event_poll_seconds: float = Field(0.5, gt=0, description="how often an event stream looks for news")
    export_cache_bytes: int = Field(1024**3, ge=0, description="finished sets that are kept for the next download")
    data_cache_bytes: int = Field(2 * 1024**3, ge=0, description="data sets of the store that are kept to show images")
    max_streams: int = Field(16, ge=1, description="endless streams that are sent at a time")
    grace_hours: float = Field(
        168.0, ge=0, description="what was deleted can be restored for so long; then its room is freed"
    )
    free_every_hours: float = Field(24.0, ge=0, description="time between two looks for room to free; 0: only by hand")
    webhook_secret: SecretStr | None = Field(
        None, description="signs what webhooks send: whsec_ and random bytes in base64; several with spaces between"
    )
    webhook_private: bool = Field(False, description="whether webhooks may go to private networks and this machine")
    webhook_poll_seconds: float = Field(2.0, gt=0, description="time between two looks for webhooks to send")
    webhook_timeout_seconds: float = Field(10.0, gt=0, description="all the time that one attempt at a webhook has")
    head_seconds: float = Field(10.0, gt=0, description="all the time that the head of a request has")
    body_seconds: float = Field(60.0, gt=0, description="all the time that a body has which is no upload")
    upload_idle_seconds: float = Field(60.0, gt=0, description="an upload that sends no byte for so long is cut off")
    max_connections: int = Field(800, ge=1, description="connections that may be open at a time")
    reads_per_minute: int = Field(12000, ge=0, description="requests that only read, of one caller; 0: any number")
    writes_per_minute: int = Field(1200, ge=0, description="all other requests of one caller; 0: any number")
    wrong_keys_per_minute: int = Field(60, ge=0, description="wrong keys from one address; 0: any number")
    quota_jobs: int = Field(1000, ge=0, description="jobs of one key, queued and running at once; 0: any number")
    quota_device_seconds: float = Field(0.0, ge=0, description="device time of one key in a day; 0: any amount")
    quota_bytes: int = Field(0, ge=0, description="of uploads, data sets and artifacts of one key; 0: any amount")
    shutdown_seconds: int = Field(5, ge=1, description="how long requests in hand may take when the service stops")

    @property
    def key(self) -> str | None:
        """The key in the clear, or None where none is configured."""
        return None if self.api_key is None else self.api_key.get_secret_value()

    @field_validator("webhook_secret")
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            sending.keys(value.get_secret_value())
        return value

    @property
    def webhook_keys(self) -> list[bytes]:
        """What webhooks are signed with; none where there are to be none."""
        return [] if self.webhook_secret is None else sending.keys(self.webhook_secret.get_secret_value())

    @property
    def quotas(self) -> Limits:
        """What a key may use that has no limits of its own."""
        return Limits(jobs=self.quota_jobs, device_seconds=self.quota_device_seconds, bytes=self.quota_bytes)

    @property
    def loopback_only(self) -> bool:
        """Whether the service is bound to this machine."""
        return is_loopback(self.host)

    def check_binding(self) -> None:
        """Raises InsecureBinding where the service would be open to other machines without a key."""
        if self.key is None and not self.loopback_only:
            raise InsecureBinding(
                f"refusing to listen on {self.host} without a key: anyone who reaches it could use it. "
                "Set DISTILLED_API_KEY to a secret of your own, or listen on 127.0.0.1"
            )
