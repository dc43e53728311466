"""Where the engine's files lie, and its configuration file: small pools and caches, a ceiling on memory.

A part that was merged into another stays in memory, some 18 KB of it, until it is cleared away. At the engine's own
pace thousands gather under a steady load, so they are cleared every few seconds.
"""

from dataclasses import dataclass
from pathlib import Path

TEMPLATE = """\
<clickhouse>
  <timezone>UTC</timezone>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <index_mark_cache_size>8388608</index_mark_cache_size>
  <mmap_cache_size>100</mmap_cache_size>
  <compiled_expression_cache_size>8388608</compiled_expression_cache_size>
  <max_thread_pool_size>64</max_thread_pool_size>
  <max_thread_pool_free_size>4</max_thread_pool_free_size>
  <max_parts_cleaning_thread_pool_size>1</max_parts_cleaning_thread_pool_size>
  <max_active_parts_loading_thread_pool_size>4</max_active_parts_loading_thread_pool_size>
  <max_outdated_parts_loading_thread_pool_size>2</max_outdated_parts_loading_thread_pool_size>
  <max_io_thread_pool_size>8</max_io_thread_pool_size>
  <max_concurrent_queries>32</max_concurrent_queries>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_common_pool_size>2</background_common_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
  <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
  <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
  <merge_tree>
    <cleanup_delay_period>5</cleanup_delay_period>
    <max_cleanup_delay_period>10</max_cleanup_delay_period>
    <cleanup_delay_period_random_add>1</cleanup_delay_period_random_add>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
  </merge_tree>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one data directory."""

    store: Path
    config: Path
    password: Path
    schemas: Path


def layout(data: Path) -> Layout:
    """The places below `data`, made if they are not there."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = Layout(data / "store", data / "config.xml", data / "password", data / "schemas")
    places.schemas.mkdir(exist_ok=True)
    return places


def write_config(path: Path, *, memory: int) -> None:
    """Write the engine's configuration; `memory` is what all statements together may use."""
    path.write_text(TEMPLATE.format(memory=memory))
