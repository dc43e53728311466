"""What Kafka's errors mean to callers of the log: refused, or away for now."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from frameworks.kit.errors import Fault, Precondition
from frameworks.kit.eventlog import BadRecord, EventLogAway, RecordTooLarge, UnknownTopic

UNKNOWN = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
BAD = frozenset(
    {
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.TOPIC_EXCEPTION,
    }
)
FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
CREDENTIALS = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
REPLICAS = frozenset(
    {
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError._ISR_INSUFF,
    }
)


class NotAllowed(Precondition):
    """The brokers' access lists do not let this account do what it must."""

    code = "eventlog.not_allowed"


class ReplicasAway(EventLogAway):
    """Too few of a topic's replicas are in sync now; records are acknowledged again when they are back."""

    code = "eventlog.replicas_away"


class TooFewReplicas(ReplicasAway):
    """A topic demands more replicas in sync than it has replicas: nothing is written until someone changes it.

    Older brokers never acknowledge a record of such a topic; newer ones quietly ask for fewer replicas.
    """

    code = "eventlog.too_few_replicas"


def fault(error: KafkaError, what: str) -> Fault:
    """The fault that `error` is; what we can not name as a refusal may succeed later."""
    code = error.code()
    facts = {"reason": error.name()}
    if code in UNKNOWN:
        return UnknownTopic(f"The event log has no such topic: {what}.", **facts)
    if code in TOO_LARGE:
        return RecordTooLarge("This event log takes no record of that size.", **facts)
    if code in BAD:
        return BadRecord(f"The event log does not take the record: {what}.", **facts)
    if code in FORBIDDEN:
        return NotAllowed(f"The event log's access lists forbid {what}.", **facts)
    if code in CREDENTIALS:
        return EventLogAway(f"The event log refused the credentials or the certificate: {what}.", **facts)
    if code in REPLICAS:
        return ReplicasAway(f"Too few replicas are in sync: {what}.", **facts)
    return EventLogAway(f"The event log is away: {what}.", **facts)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what librdkafka raises into faults."""
    try:
        yield
    except KafkaException as error:
        raise fault(error.args[0], what) from error
    except TimeoutError as error:
        raise EventLogAway(f"The event log did not answer in time: {what}.") from error
