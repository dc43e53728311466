"""Counters, gauges and histograms with bounded label values, in this process's one registry."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily

OTHER = "other"
"""What a label says once it has had too many values."""

REGISTRY = CollectorRegistry(auto_describe=True)
prometheus_client.ProcessCollector(registry=REGISTRY)
prometheus_client.PlatformCollector(registry=REGISTRY)
prometheus_client.GCCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

C = TypeVar("C")
M = TypeVar("M", bound=prometheus_client.metrics.MetricWrapperBase)


class Labelled(Generic[C]):
    """A metric whose labels take at most `bound` values each; later ones are counted as `other`."""

    def __init__(self, make: Callable[..., C], labels: Sequence[str], bound: int) -> None:
        self._make = make
        self._labels = tuple(labels)
        self._bound = bound
        self._seen: tuple[set[str], ...] = tuple(set() for _ in self._labels)
        self._children: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str, **named: str) -> C:
        """The child for these label values, given in order or by name; keep it when it is used often."""
        wanted = values or tuple(named[name] for name in self._labels)
        child = self._children.get(wanted)
        if child is None:
            bounded = tuple(
                self._bounded(seen, value) for seen, value in zip(self._seen, wanted, strict=True)
            )
            child = self._children.get(bounded)
            if child is None:
                child = self._children[bounded] = self._make(*bounded)
        return child

    def _bounded(self, seen: set[str], value: str) -> str:
        if value not in seen:
            if len(seen) >= self._bound:
                return OTHER
            seen.add(value)
        return value


class _Metric(Labelled[M]):
    def __init__(self, metric: M, labels: Sequence[str], bound: int) -> None:
        super().__init__(metric.labels, labels, bound)
        self._metric: M = metric


class Counter(_Metric[prometheus_client.Counter]):
    """A number that only grows."""

    def inc(self, amount: float = 1) -> None:
        """Add to a counter without labels."""
        self._metric.inc(amount)


class Gauge(_Metric[prometheus_client.Gauge]):
    """A number that goes up and down."""

    def set(self, value: float) -> None:
        """Set a gauge without labels."""
        self._metric.set(value)

    def inc(self, amount: float = 1) -> None:
        """Add to a gauge without labels."""
        self._metric.inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Take from a gauge without labels."""
        self._metric.dec(amount)


class Histogram(_Metric[prometheus_client.Histogram]):
    """How often a value fell into each bucket."""

    def observe(self, value: float) -> None:
        """Add a value to a histogram without labels."""
        self._metric.observe(value)


class Tally:
    """A number that only grows, by additions of one thread: they need no lock and cost a tenth of a counter's."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def inc(self) -> None:
        """Add one."""
        self.total += 1


class _Tallies:
    """What a scrape sees of tallies: a counter."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._tallies: dict[tuple[str, ...], Tally] = {}

    def add(self, *values: str) -> Tally:
        tally = self._tallies[values] = Tally()
        return tally

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for values, tally in list(self._tallies.items()):
            family.add_metric(values, tally.total)
        yield family


def tally(
    name: str,
    help: str,
    labels: Sequence[str],
    *,
    bound: int = 100,
    registry: CollectorRegistry = REGISTRY,
) -> Labelled[Tally]:
    """Declare a counter of what one thread does very often; each label takes at most `bound` values."""
    tallies = _Tallies(name, help, labels)
    registry.register(tallies)
    return Labelled(tallies.add, labels, bound)


def counter(
    name: str,
    help: str,
    labels: Sequence[str] = (),
    *,
    bound: int = 100,
    registry: CollectorRegistry = REGISTRY,
) -> Counter:
    """Declare a counter, once per process; each label takes at most `bound` values."""
    return Counter(prometheus_client.Counter(name, help, labels, registry=registry), labels, bound)


def gauge(
    name: str,
    help: str,
    labels: Sequence[str] = (),
    *,
    bound: int = 100,
    registry: CollectorRegistry = REGISTRY,
) -> Gauge:
    """Declare a gauge, once per process; each label takes at most `bound` values."""
    return Gauge(prometheus_client.Gauge(name, help, labels, registry=registry), labels, bound)


def histogram(
    name: str,
    help: str,
    labels: Sequence[str] = (),
    *,
    buckets: Sequence[float] = _SECONDS,
    bound: int = 100,
    registry: CollectorRegistry = REGISTRY,
) -> Histogram:
    """Declare a histogram (of seconds, unless `buckets` say otherwise), once per process."""
    metric = prometheus_client.Histogram(name, help, labels, buckets=buckets, registry=registry)
    return Histogram(metric, labels, bound)


def totals(names: Iterable[str], registry: CollectorRegistry = REGISTRY) -> dict[str, float]:
    """The value of each metric that this process has, added up over its labels; by the name it is scraped as."""
    wanted = set(names)
    found: dict[str, float] = {}
    for metric in registry.restricted_registry(wanted).collect():
        for sample in metric.samples:
            if sample.name in wanted:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def exposition(registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """Every metric of this process in Prometheus' text format, and its content type."""
    return generate_latest(registry), CONTENT_TYPE_LATEST
