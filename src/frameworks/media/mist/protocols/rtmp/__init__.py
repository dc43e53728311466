"""RTMP without sockets: handshake, chunk streams, commands; sessions of a server and of a publishing client.

`ServerSession` and `ClientSession` take received bytes, return events, and keep bytes to send.
Sources: Adobe's RTMP specification 1.0, Enhanced RTMP v2.
"""
