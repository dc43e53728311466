"""Use cases of Periscope: ingesting events, rolling buckets up, answering from history."""
