"""How a live stream is handed out: one file per delivery format."""
