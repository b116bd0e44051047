"""The routes, one module per feature."""

from typing import Final

from web.rest import (
    api_keys,
    changes,
    cluster,
    configs,
    consistency,
    courses,
    dead_letters,
    error_pages,
    exports,
    failures,
    feeds,
    health,
    identity,
    lanes,
    logins,
    metrics,
    plans,
    quarantine,
    runs,
    schedules,
    sources,
)
from web.routes import Feature

FEATURES: Final[tuple[Feature, ...]] = (
    health.open_feature,
    metrics.feature,
    identity.feature,
    health.feature,
    runs.feature,
    failures.feature,
    dead_letters.feature,
    quarantine.feature,
    consistency.feature,
    plans.feature,
    lanes.feature,
    cluster.feature,
    schedules.feature,
    sources.feature,
    courses.feature,
    changes.feature,
    feeds.feature,
    feeds.open_feature,
    exports.feature,
    logins.feature,
    api_keys.feature,
    configs.feature,
    error_pages.feature,
)
"""All features of the product, in the order of the documentation."""
