"""Cluster names from outside of the pods: asks the cluster's DNS server."""

from __future__ import annotations

import json
from pathlib import Path

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from clients.errors import EnvironmentUnusable, OperationFailed

QUERY_SECONDS = 2.0


def resolve(name: str, state_dir: Path) -> list[str]:
    """The addresses of a cluster name, such as ``web.system.svc.cluster.local``.

    Args:
        state_dir: the cluster's state folder.

    Raises EnvironmentUnusable when the cluster's DNS does not answer, OperationFailed when it does not know the name.
    """
    try:
        host, _, port = json.loads((state_dir / "cluster.json").read_text())["dns"].rpartition(":")
        packet = DNSRecord.question(name).send(host, int(port), timeout=QUERY_SECONDS)
        reply = DNSRecord.parse(packet)
    except (OSError, ValueError, KeyError, DNSError) as error:
        raise EnvironmentUnusable(
            f"the cluster's DNS does not answer: {error}", where=str(state_dir), remedy="see: gameday cluster status"
        ) from error
    if reply.header.rcode != RCODE.NOERROR:
        raise OperationFailed(f"the cluster does not know the name ({RCODE[reply.header.rcode]})", where=name)
    return [str(record.rdata) for record in reply.rr if record.rtype == QTYPE.A]
