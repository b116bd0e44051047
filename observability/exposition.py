"""Figures as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from observability.metrics import BETWEEN, CATALOGUE, Counts, Described

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass
class Figures:
    """What is told at one scrape: counts by kind of process, and gauges as they are read."""

    counts: Mapping[str, Counts] = field(default_factory=dict)
    gauges: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)

    def set(self, about: Described, value: float, *labels: str) -> None:
        """A gauge, one value for each of its labels."""
        self.gauges.setdefault(about.name, {})[labels] = value

    def add(self, about: Described, value: float, *labels: str) -> None:
        """Add to a gauge."""
        values = self.gauges.setdefault(about.name, {})
        values[labels] = values.get(labels, 0) + value

    def collect(self) -> Iterable[Metric]:
        """For the client library, which writes the text."""
        for name, about in CATALOGUE.items():
            if about.kind == "gauge":
                yield from self._gauge(about)
            else:
                counted = {kind: counts[name] for kind, counts in self.counts.items() if name in counts}
                yield _counter(about, counted) if about.kind == "counter" else _histogram(about, counted)

    def _gauge(self, about: Described) -> Iterable[Metric]:
        values = self.gauges.get(about.name, {})
        if not values:
            return  # what cannot be read now is not told, rather than told as nothing
        family = GaugeMetricFamily(about.name, about.help, labels=about.labels)
        for labels, value in sorted(values.items()):
            family.add_metric(labels, value)
        yield family


def text(figures: Figures) -> bytes:
    """The answer to a scrape."""
    return generate_latest(figures)


def _counter(about: Described, counted: Mapping[str, Mapping[str, float]]) -> Metric:
    family = CounterMetricFamily(about.name.removesuffix("_total"), about.help, labels=("process", *about.labels))
    for kind, values in sorted(counted.items()):
        for key, value in sorted(values.items()):
            family.add_metric(_labels(kind, key, about), value)
    return family


def _histogram(about: Described, counted: Mapping[str, Mapping[str, list[float]]]) -> Metric:
    family = HistogramMetricFamily(about.name, about.help, labels=("process", *about.labels))
    bounds = [*map(str, about.bounds), "+Inf"]
    for kind, values in sorted(counted.items()):
        for key, found in sorted(values.items()):
            if len(found) == len(bounds) + 1:
                buckets = list(zip(bounds, accumulate(found[:-1]), strict=True))
                family.add_metric(_labels(kind, key, about), buckets, sum_value=found[-1])
    return family


def _labels(kind: str, key: str, about: Described) -> tuple[str, ...]:
    return (kind, *(key.split(BETWEEN) if about.labels else ()))
