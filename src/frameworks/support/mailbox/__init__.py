"""mailbox: the demo's mail sink. Takes every mail by SMTP on loopback, delivers none, shows the newest at /mail.

It exists only where `frameworks up` made a demo; a real installation names its own SMTP server.
"""
