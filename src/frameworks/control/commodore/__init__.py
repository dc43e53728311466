"""Commodore knows who you are and which streams are yours.

It owns users, sessions, API tokens, streams, their keys and playback ids, and who publishes each stream now.
It promises that one stream has one publisher, that what finds a tenant is a hash or a public id, and that running
publishers are not stopped because another service is away. It refuses new ones when it can not learn whether they may.
"""
