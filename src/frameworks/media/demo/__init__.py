"""demo: a publisher for trying the platform: a test picture and a tone, encoded once, pushed for ever.

It owns one cached clip file, promises continuous timestamps at next to no CPU, and refuses to encode twice.
"""
