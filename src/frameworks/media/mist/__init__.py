"""mist: our media node. Takes a live stream in, hands it out in every protocol asked for, asks Helmsman first.

It owns media in flight and nothing else: no tenants, no accounts, no history. It speaks MistServer's triggers and
API, so Helmsman can not tell which of the two it drives.
"""
