"""Who we are to WPS."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """An app's id and key. The key never shows in a repr, a log or an exception."""

    app_id: str
    app_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.app_id or not self.app_key:
            raise ValueError("WPS needs both an app id and an app key")
