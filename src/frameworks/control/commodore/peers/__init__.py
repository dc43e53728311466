"""Outbound: Quartermaster and Purser, mail, and what Commodore signs."""
