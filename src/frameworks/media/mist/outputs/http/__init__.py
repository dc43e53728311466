"""HTTP delivery to viewers: HTTP/1.1 on bare asyncio, since media is many small answers at once."""
