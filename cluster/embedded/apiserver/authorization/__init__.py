"""Who may do what: role-based access control as Kubernetes defines it.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""
