"""Types and rules of Commodore: accounts, tokens, streams, claims and letters."""
