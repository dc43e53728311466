"""Clusters, nodes, services, and how a node joins."""

from frameworks.control.bridge.api.infrastructure import clusters, enrolment, nodes, services

BINDABLES = [*clusters.BINDABLES, *nodes.BINDABLES, *services.BINDABLES, *enrolment.BINDABLES]
