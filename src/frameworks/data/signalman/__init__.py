"""Signalman pushes live changes to the tenant's subscriptions and sockets.

It promises a subscriber every change of its own tenant since the position it left, once and in order, or a snapshot
that says why it is one. It refuses to wait for a slow subscriber, and to keep more than the last changes: history is
asked of Periscope.
"""
