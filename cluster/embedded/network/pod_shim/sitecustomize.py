"""Makes a Python program believe that it runs in a pod's own network namespace.

Put on a container's PYTHONPATH by the node agent; Python imports it at start. It must cost next to nothing and may
import nothing but the standard library. It acts only where ``POD_IP`` is set:

- binding 0.0.0.0, ``::`` or localhost binds the pod's address, so that every pod can listen on the same port;
- connections to loopback leave from the pod's address, and localhost is the pod itself;
- connections to other pods lead through the cluster's relay, where faults and NetworkPolicies act on them;
- cluster names are asked of the cluster's DNS, with a pod's search path (ndots 5);
- the ServiceAccount's credentials are found where every client of the API looks for them.

Programs that do not use Python's ``socket`` module (uvloop, for one) are not adapted.
"""

import os

if os.environ.get("POD_IP"):
    import contextlib
    import socket
    import weakref

    _POD_IP = os.environ["POD_IP"]
    _DNS = os.environ.get("CLUSTER_DNS", "")
    _RELAY = os.environ.get("CLUSTER_RELAY", "")
    _NAMESPACE = os.environ.get("POD_NAMESPACE", "default")
    _ANY = ("", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1")
    _SELF = ("localhost", "127.0.0.1", "::1")
    _TIMEOUT_SECONDS = 2.0

    _bind = socket.socket.bind
    _connect = socket.socket.connect
    _connect_ex = socket.socket.connect_ex
    _getpeername = socket.socket.getpeername
    _getaddrinfo = socket.getaddrinfo
    _peers = weakref.WeakKeyDictionary()  # sockets that lead through the relay -> where they lead to

    def _pod_bind(self, address):
        if self.family == socket.AF_INET6:
            raise OSError(99, "Cannot assign requested address: a pod has no IPv6")
        if self.family == socket.AF_INET and address[0] in _ANY:
            address = (_POD_IP, *address[1:])
        return _bind(self, address)

    def _prepare(self, address):
        """Where to connect to, having left from the pod's address."""
        if self.family != socket.AF_INET:
            return address
        host, *rest = address
        if host in _SELF:
            host = _POD_IP
        if host.startswith("127.") and self.getsockname()[1] == 0:
            with contextlib.suppress(OSError):  # bound already
                _bind(self, (_POD_IP, 0))
        if _RELAY and self.type == socket.SOCK_STREAM and _is_other_pod(host):
            return _detour(self, (host, *rest))
        return (host, *rest)

    def _is_other_pod(host):
        parts, own = host.split("."), _POD_IP.split(".")
        return host != _POD_IP and len(parts) == 4 and parts[:2] == own[:2] and parts[2] >= "128" and len(parts[2]) == 3

    def _detour(link, address):
        """Where to connect to in order to reach another pod: the relay, if somebody listens there."""
        here, port = link.getsockname()
        if here != _POD_IP:
            return address
        host, _, relay_port = _RELAY.rpartition(":")
        if _peers.get(link) != address:
            if _ask_relay(host, int(relay_port), f"{port} {address[0]} {address[1]}") != b"relay":
                return address
            _peers[link] = address
        return host, int(relay_port)

    def _ask_relay(host, port, question):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(_TIMEOUT_SECONDS)
            _bind(link, (_POD_IP, 0))
            _connect(link, (host, port))
            for _ in range(2):
                try:
                    link.send(question.encode())
                    return link.recv(64)
                except OSError:
                    continue
        raise OSError(113, "No route to host: the cluster's relay does not answer")

    def _pod_getpeername(self):
        peer = _getpeername(self)
        return _peers.get(self, peer)

    def _pod_connect(self, address):
        return _connect(self, _prepare(self, address))

    def _pod_connect_ex(self, address):
        return _connect_ex(self, _prepare(self, address))

    def _candidates(name):
        """The full names to try, in order (resolv.conf: search NS.svc.cluster.local ..., ndots 5)."""
        if name.endswith("."):
            return [name.rstrip(".")]
        searched = [
            f"{name}.{suffix}" for suffix in (f"{_NAMESPACE}.svc.cluster.local", "svc.cluster.local", "cluster.local")
        ]
        return [name, *searched] if name.count(".") >= 5 else [*searched, name]

    def _query(name):
        """(rcode, addresses) of one A query to the cluster's DNS; rcode -1 when it did not answer."""
        server, _, port = _DNS.rpartition(":")
        identity = os.urandom(2)
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        packet = identity + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(_TIMEOUT_SECONDS)
            with contextlib.suppress(OSError):  # a server that is not on loopback
                _bind(link, (_POD_IP, 0))
            _connect(link, (server, int(port)))
            for _ in range(2):
                try:
                    link.send(packet)
                    reply = link.recv(4096)
                except OSError:
                    continue
                if reply[:2] == identity:
                    return reply[3] & 15, _addresses(reply, len(packet))
        return -1, []

    def _addresses(reply, offset):
        found = []
        for _ in range(int.from_bytes(reply[6:8], "big")):
            while reply[offset] & 0xC0 != 0xC0 and reply[offset]:
                offset += reply[offset] + 1
            offset += 2 if reply[offset] & 0xC0 == 0xC0 else 1
            kind, size = (
                int.from_bytes(reply[offset : offset + 2], "big"),
                int.from_bytes(reply[offset + 8 : offset + 10], "big"),
            )
            offset += 10
            if kind == 1:
                found.append(".".join(str(byte) for byte in reply[offset : offset + 4]))
            offset += size
        return found

    def _is_address(host):
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except (OSError, ValueError):
            return False
        return True

    def _pod_getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
        name = host.decode() if isinstance(host, bytes) else host
        if not name or name in _ANY:
            return _getaddrinfo(_POD_IP, port, 0, type, proto, flags)
        if not _DNS or _is_address(name):
            return _getaddrinfo(host, port, family, type, proto, flags)
        if name == socket.gethostname():
            return _getaddrinfo(_POD_IP, port, 0, type, proto, flags)
        for candidate in _candidates(name.lower()):
            if not candidate.endswith(".cluster.local"):
                continue
            code, addresses = _query(candidate)
            if code in (-1, 2):
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            if addresses:
                return [entry for a in addresses for entry in _getaddrinfo(a, port, socket.AF_INET, type, proto, flags)]
        if name.lower().rstrip(".").endswith(".cluster.local"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return _getaddrinfo(host, port, family, type, proto, flags)

    def _pod_gethostbyname(name):
        return _pod_getaddrinfo(name, None, socket.AF_INET)[0][4][0]

    socket.socket.bind = _pod_bind
    socket.socket.connect = _pod_connect
    socket.socket.connect_ex = _pod_connect_ex
    socket.socket.getpeername = _pod_getpeername
    socket.getaddrinfo = _pod_getaddrinfo
    socket.gethostbyname = _pod_gethostbyname
    socket.has_dualstack_ipv6 = lambda: False

if os.environ.get("GAMEDAY_ROOTFS"):
    import builtins
    import io
    import sys

    _ROOT = os.environ["GAMEDAY_ROOTFS"]
    _CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"

    def _in_pod(path):
        """A path of the credentials below the container's root; anything else as it is."""
        if isinstance(path, str) and path.startswith(_CREDENTIALS):
            return _ROOT + path
        return path

    def _adapted(function):
        def call(path, *args, **kwargs):
            return function(_in_pod(path), *args, **kwargs)

        return call

    class _SslAdapter:
        """Adapts ``ssl`` once it is imported, which costs too much to do here."""

        def find_spec(self, name, path=None, target=None):
            if name != "ssl":
                return None
            sys.meta_path.remove(self)
            import importlib.util

            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                load = module.SSLContext.load_verify_locations
                module.SSLContext.load_verify_locations = lambda context, cafile=None, *args, **kwargs: load(
                    context, _in_pod(cafile), *args, **kwargs
                )

            spec.loader.exec_module = exec_module
            return spec

    builtins.open = io.open = _adapted(io.open)
    os.stat = _adapted(os.stat)
    sys.meta_path.insert(0, _SslAdapter())
