"""Kafka's errors as ours: what is refused, and what may succeed later."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from frameworks.kit.errors import Fault, Refusal, Unavailable
from frameworks.kit.eventlog import BadRecord, EventLogAway, RecordTooLarge, UnknownTopic
from frameworks.kit.eventlog.kafka_faults import NotAllowed, ReplicasAway, TooFewReplicas, fault, translated


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnknownTopic),
        (KafkaError.MSG_SIZE_TOO_LARGE, RecordTooLarge),
        (KafkaError.INVALID_RECORD, BadRecord),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAllowed),
        (KafkaError.NOT_ENOUGH_REPLICAS, ReplicasAway),
        (KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, ReplicasAway),
        (KafkaError._AUTHENTICATION, EventLogAway),
        (KafkaError._MSG_TIMED_OUT, EventLogAway),
        (KafkaError._ALL_BROKERS_DOWN, EventLogAway),
        (KafkaError.NOT_LEADER_FOR_PARTITION, EventLogAway),
        (KafkaError._PURGE_INFLIGHT, EventLogAway),
    ],
)
def test_a_code_is_one_sort_of_fault(code: int, kind: type[Fault]) -> None:
    made = fault(KafkaError(code), "t")
    assert type(made) is kind
    assert made.facts["reason"] == KafkaError(code).name()


def test_too_few_replicas_in_sync_may_be_tried_again() -> None:
    made = fault(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS), "publishing to t")
    assert isinstance(made, Unavailable)
    assert made.code == "eventlog.replicas_away"
    assert issubclass(TooFewReplicas, Unavailable)


def test_what_the_library_raises_is_translated() -> None:
    with pytest.raises(Refusal, match="no such topic: t"), translated("t"):
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(Unavailable, match="in time: t"), translated("t"):
        raise TimeoutError
