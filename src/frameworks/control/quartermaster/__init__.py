"""Quartermaster knows which tenant lives on which clusters and nodes, which services run, and who may join.

It owns tenants, clusters, access to them, nodes, enrolment and the service registry. It promises that a node's identity
is bound to one cluster, one owner and one key, and that a tenant never sees another's private clusters or any node but
its own. It refuses to say how many viewers a cluster has now: live counters belong to Foghorn.
"""
