"""What Quartermaster signs: the certificates of nodes."""

import json
from datetime import timedelta
from uuid import UUID

from frameworks.kit.identity import Identity


class CertificateSigner:
    """Signs with the service's own key; `kit.identity.Verifier` reads these claims."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def certify(
        self, *, node: str, cluster: str, region: str, owner: UUID, public_key: str, lifetime: timedelta
    ) -> str:
        """A certificate that binds the node to its cluster, region, owner and key."""
        claims = {
            "node_id": node,
            "cluster": cluster,
            "region": region,
            "owner_tenant": str(owner),
            "cnf": {"jwk": json.loads(public_key)},
        }
        return self._identity.sign(claims, typ="node_cert", lifetime=lifetime)
