"""console: serves the web application, and is the platform's one public front.

It owns no data. `/graphql` and `/auth` are Bridge's, `/play` is Foghorn's, `/mail` is the demo mailbox's:
it passes them on.
"""
