"""foghorn: picks the node for a publisher or a viewer, and records why.

It owns the live picture of its nodes and of the viewers it has sent to them, all in memory, and a small file of the
streams it knows. It promises an answer for known streams whatever happens to the control plane, and refuses to guess:
a stream it can not place is offline.
"""
