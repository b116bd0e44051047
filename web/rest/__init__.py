"""The routes, one module per feature."""

from typing import Final

from web.rest import (
    api_keys,
    attendance,
    check_ins,
    classes,
    cluster,
    configs,
    courses,
    dead_letters,
    error_pages,
    exports,
    failures,
    health,
    identity,
    lanes,
    logins,
    metrics,
    quarantine,
    runs,
    schedules,
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
    lanes.feature,
    cluster.feature,
    schedules.feature,
    courses.feature,
    check_ins.feature,
    classes.feature,
    attendance.feature,
    exports.feature,
    logins.feature,
    api_keys.feature,
    configs.feature,
    error_pages.feature,
)
"""All features of the product, in the order of the documentation."""
