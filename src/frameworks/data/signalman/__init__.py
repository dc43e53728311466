"""Signalman pushes live changes to the tenant's open sockets.

It promises a subscriber a snapshot first, then changes of its own tenant only, and to say how many it missed. It
refuses to wait for a slow subscriber, and to keep anything: what was missed is asked of Periscope.
"""
