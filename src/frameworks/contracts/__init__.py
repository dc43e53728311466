"""What services share: ids, topics, permissions, metric names; `pb/` is generated from `proto/`, never edited."""
