"""The live streams of this node, each owned by one object that one publisher at a time may feed.

Every change happens in a synchronous call on the event loop, so a stream is never seen half changed; a
publisher that was replaced holds a lease that no longer counts, so its late frames are dropped.
"""
