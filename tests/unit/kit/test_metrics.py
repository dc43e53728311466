"""Metrics are exposed, and a label can not take any number of values."""

from prometheus_client import CollectorRegistry

from frameworks.kit.metrics import counter, exposition, gauge, histogram, tally, totals


def text(registry: CollectorRegistry) -> str:
    """What is exposed."""
    return exposition(registry)[0].decode()


def test_a_counter_is_exposed_with_its_labels() -> None:
    registry = CollectorRegistry()
    calls = counter("calls_total", "Calls.", ("service", "code"), registry=registry)
    calls.labels("bridge", "ok").inc()
    calls.labels(code="ok", service="bridge").inc(2)
    assert 'calls_total{code="ok",service="bridge"} 3.0' in text(registry)


def test_a_label_with_too_many_values_says_other() -> None:
    registry = CollectorRegistry()
    seen = counter("seen_total", "Seen.", ("kind", "who"), bound=2, registry=registry)
    for number in range(1000):
        seen.labels("a", f"w{number}").inc()
    seen.labels("a", "w1").inc()
    lines = [line for line in text(registry).splitlines() if line.startswith("seen_total{")]
    assert sorted(lines) == [
        'seen_total{kind="a",who="other"} 998.0',
        'seen_total{kind="a",who="w0"} 1.0',
        'seen_total{kind="a",who="w1"} 2.0',
    ]


def test_a_tally_is_exposed_as_a_counter() -> None:
    registry = CollectorRegistry(auto_describe=True)
    calls = tally("calls_total", "Calls.", ("service", "code"), bound=2, registry=registry)
    for code in ("ok", "ok", "late", "lost", "gone"):
        calls.labels("bridge", code).inc()
    assert "# TYPE calls_total counter" in text(registry)
    assert 'calls_total{code="ok",service="bridge"} 2.0' in text(registry)
    assert 'calls_total{code="other",service="bridge"} 2.0' in text(registry)
    assert totals(["calls_total"], registry) == {"calls_total": 5.0}


def test_metrics_without_labels_are_used_as_they_are() -> None:
    registry = CollectorRegistry()
    counter("c_total", "C.", registry=registry).inc()
    level = gauge("g", "G.", registry=registry)
    level.set(5)
    level.inc()
    level.dec(2)
    histogram("h", "H.", registry=registry).observe(0.3)
    assert "c_total 1.0" in text(registry)
    assert "g 4.0" in text(registry)
    assert 'h_bucket{le="0.5"} 1.0' in text(registry)


def test_this_process_is_described() -> None:
    body, content_type = exposition()
    assert b"process_resident_memory_bytes" in body
    assert content_type.startswith("text/plain")
