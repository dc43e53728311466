"""House rules as executable lint: each rule is a function from a parsed file to findings."""
