"""Sans-I/O protocols: bytes in, events out; no sockets, no clocks."""
