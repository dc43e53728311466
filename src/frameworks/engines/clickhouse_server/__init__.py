"""The owner process of the embedded ClickHouse engine: its HTTP protocol in front, chDB behind.

Only this process imports chDB. Sessions, temporary tables and external tables do not exist here.
"""
