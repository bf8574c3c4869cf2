"""kubectl auth and kubectl create token, against the real HTTPS server."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.authorization.conftest import Caller, Cluster, Kubectl, rule

Make = Callable[[Caller], Kubectl]


def test_the_admin_can_do_everything(cluster: Cluster, kubectl: Make) -> None:
    admin = kubectl(cluster.admin)
    asked = admin("auth", "can-i", "delete", "pods", "-n", "system")
    assert (asked.returncode, asked.stdout) == (0, "yes\n"), asked.stderr
    assert admin("auth", "can-i", "*", "*", "--all-namespaces").stdout == "yes\n"
    listed = admin("auth", "can-i", "--list").stdout
    assert "*.*" in listed
    who = admin("auth", "whoami", "-o", "jsonpath={.status.userInfo}")
    assert '"groups":["system:masters","system:authenticated"]' in who.stdout, who.stderr


def test_a_reader_can_read_and_knows_it(cluster: Cluster, kubectl: Make) -> None:
    reader = kubectl(cluster.bound("reader", rule("get list", "pods")))
    expected = {
        ("get", "pods"): "yes", ("list", "pods"): "yes", ("watch", "pods"): "no", ("delete", "pods"): "no",
        ("get", "pods", "--subresource=log"): "no", ("create", "pods", "--subresource=exec"): "no",
        ("get", "deployments.apps"): "no",
    }  # fmt: skip
    for question, answer in expected.items():
        asked = reader("auth", "can-i", *question, "-n", "system")
        assert (asked.stdout.strip(), asked.returncode) == (answer, 0 if answer == "yes" else 1), question
    assert reader("auth", "can-i", "get", "pods", "-n", "other").stdout == "no\n"
    listed = reader("auth", "can-i", "--list", "-n", "system").stdout
    assert ["pods", "[]", "[]", "[get", "list]"] in [line.split() for line in listed.splitlines()]
    who = reader("auth", "whoami").stdout
    assert "system:serviceaccount:system:reader" in who
    assert "[system:serviceaccounts system:serviceaccounts:system system:authenticated]" in who


def test_denied_commands_say_what_a_real_server_says(cluster: Cluster, kubectl: Make) -> None:
    reader = kubectl(cluster.bound("reader", rule("get list", "pods")))
    assert reader("get", "pods", "-n", "system").returncode == 0
    refused = reader("get", "deployments", "-n", "system")
    assert refused.returncode == 1
    assert refused.stderr == (
        'Error from server (Forbidden): deployments.apps is forbidden: User "system:serviceaccount:system:reader" '
        'cannot list resource "deployments" in API group "apps" in the namespace "system"\n'
    )


def test_as_somebody_else(cluster: Cluster, kubectl: Make) -> None:
    cluster.bound("reader", rule("get list", "pods"))
    admin = kubectl(cluster.admin)
    name = "--as=system:serviceaccount:system:reader"
    assert admin("auth", "can-i", "list", "pods", "-n", "system", name).stdout == "yes\n"
    assert admin("auth", "can-i", "delete", "pods", "-n", "system", name).stdout == "no\n"
    assert admin("get", "pods", "-n", "system", name).returncode == 0
    assert "cannot list resource" in admin("get", "services", "-n", "system", name).stderr
    assert admin("get", "services", "-n", "system", "--as=jane", "--as-group=system:masters").returncode == 0
    refused = kubectl(cluster.account("reader"))("get", "pods", "-n", "system", "--as=jane")
    assert 'cannot impersonate resource "users" in API group "" at the cluster scope' in refused.stderr


def test_create_token(cluster: Cluster, kubectl: Make) -> None:
    cluster.bound("reader", rule("get list", "pods"))
    made = kubectl(cluster.admin)("create", "token", "reader", "-n", "system", "--duration=20m")
    assert made.returncode == 0, made.stderr
    reader = cluster.caller(made.stdout.strip())
    assert reader("GET", "/api/v1/namespaces/system/pods").status_code == 200
    assert reader("GET", "/api/v1/namespaces/system/secrets").status_code == 403
    with_token = kubectl(cluster.admin)("--token", reader.token, "get", "secrets", "-n", "system")
    assert 'User "system:serviceaccount:system:reader" cannot list resource "secrets"' in with_token.stderr
    short = kubectl(cluster.admin)("create", "token", "reader", "-n", "system", "--duration=1m")
    assert "may not specify a duration less than 10 minutes" in short.stderr


def test_roles_are_made_and_reconciled_by_kubectl(cluster: Cluster, kubectl: Make) -> None:
    admin = kubectl(cluster.admin)
    scope = ("-n", "system")
    for arguments in (
        ("create", "serviceaccount", "operator", *scope),
        ("create", "role", "operator", "--verb=get,patch", "--resource=deployments.apps/scale", *scope),
        ("create", "rolebinding", "operator", "--role=operator", "--serviceaccount=system:operator", *scope),
        ("create", "clusterrole", "nodes", "--verb=list", "--resource=nodes"),
        ("create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--serviceaccount=system:operator"),
    ):
        done = admin(*arguments)
        assert done.returncode == 0, done.stderr
    operator = kubectl(cluster.account("operator"))
    assert operator("get", "nodes").returncode == 0
    assert operator("auth", "can-i", "patch", "deployments.apps", "--subresource=scale", *scope).stdout == "yes\n"
    assert operator("auth", "can-i", "patch", "deployments.apps", *scope).stdout == "no\n"
