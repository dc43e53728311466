"""Which clusters have an analytics engine of their own is one setting; a wrong one names itself."""

from pathlib import Path

import pytest

from frameworks.kit.config import BadSetting
from frameworks.kit.host import ProcessHost


def host(directory: Path, clusters: str) -> ProcessHost:
    """A process with that setting."""
    env = {"FRAMEWORKS_DATA_DIR": str(directory), "FRAMEWORKS_ANALYTICS_CLUSTERS": clusters}
    return ProcessHost(env, rules={})


async def test_without_the_setting_no_cluster_has_its_own(tmp_path: Path) -> None:
    assert await host(tmp_path, "").cluster_analytics() == {}


@pytest.mark.parametrize("wrong", ["eu-1", "=http://127.0.0.1:1", "eu-1="])
async def test_what_is_no_cluster_and_url_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(BadSetting, match="FRAMEWORKS_ANALYTICS_CLUSTERS"):
        await host(tmp_path, wrong).cluster_analytics()
