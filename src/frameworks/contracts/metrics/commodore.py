"""Metric names of Commodore."""

from frameworks.kit.metrics import counter

ADMISSIONS = counter(
    "commodore_admissions_total",
    "Publishers by outcome. Many INVALID_KEY: somebody guesses keys; UNAVAILABLE: Quartermaster or Purser is away.",
    ("outcome",),
)
SIGN_INS = counter(
    "commodore_sign_ins_total",
    "Sign-ins by outcome. Many refused ones against few accounts: somebody guesses passwords.",
    ("outcome",),
)
REGISTRATIONS = counter(
    "commodore_registrations_total",
    "Registrations by outcome. Many bad proofs: robots; look at the proof's difficulty.",
    ("outcome",),
)
MAILS = counter(
    "commodore_mails_total",
    "Mails by kind and outcome. Expired ones: the mail server was away for a day.",
    ("kind", "outcome"),
)
