"""The routes, one module per feature."""

from typing import Final

from web.rest import api_keys, configs, error_pages, health, identity, logins, runs
from web.routes import Feature

FEATURES: Final[tuple[Feature, ...]] = (
    health.open_feature,
    identity.feature,
    health.feature,
    runs.feature,
    logins.feature,
    api_keys.feature,
    configs.feature,
    error_pages.feature,
)
"""All features of the product, in the order of the documentation."""
