"""What operators see of the pipeline, whether services share a process or each has one of its own."""

import asyncio
import dataclasses

from fixtures_platform import Platform, eventually
from flow_processes import everywhere

from frameworks.cli.status import look

PIPELINE = """{ pipelineStatus {
    isKnown
    flow { accepted stored pushed recorded delivered calls }
    topics { topic group isRunning }
    edges { node limitBytes }
    engines { name isUp }
    processes { name status modules }
} }"""
MODULES = {
    *("decklog", "periscope-ingest", "periscope-query", "signalman", "helmsman", "foghorn", "mist"),
    *("bridge", "commodore", "quartermaster", "purser", "console"),
}
FLOWS = {"accepted", "stored", "pushed", "recorded", "delivered", "calls"}


@everywhere
async def test_every_process_reports_to_the_page_and_to_the_command(platform: Platform) -> None:
    made = await platform.tenant(operator=True)
    operator = dataclasses.replace(made, api_token=made.access_token)

    async def all_are_told() -> bool:
        found = (await operator.graphql(PIPELINE))["pipelineStatus"]
        running = {module for one in found["processes"] if one["status"] == "ok" for module in one["modules"]}
        return running >= MODULES and all(found["flow"][name] is not None for name in FLOWS)

    await eventually(all_are_told, within=40, what="every module is in a process that is well")
    found = (await operator.graphql(PIPELINE))["pipelineStatus"]
    assert [engine["isUp"] for engine in found["engines"]] == [True, True, True]
    readers = {(topic["topic"], topic["group"]) for topic in found["topics"] if topic["isRunning"]}
    assert ("analytics_events", "periscope-ingest") in readers
    assert ("analytics_events", "signalman") in readers
    assert any(edge["limitBytes"] for edge in found["edges"])
    seen = await asyncio.to_thread(look, platform.data)
    assert {module for process in seen.processes for module in process.modules} >= MODULES
    assert {process.state for process in seen.processes} == {"ok"}
