"""The demo mailbox's metrics."""

from frameworks.kit.metrics import counter

REFUSED = counter(
    "frameworks_mailbox_refused_total",
    "SMTP commands and mails refused, by reply code; somebody speaks something else to the mail port.",
    ("code",),
)
