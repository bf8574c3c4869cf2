"""The protobuf messages that requests carry, one line per message.

A field is ``name=number:type``. ``?`` before the type: a pointer in Go, so an empty value counts; ``*``: repeated;
``@``: a map from strings. The type ``skip`` is read and dropped. Numbers are those of k8s.io/api (core/v1,
apps/v1, policy/v1) and k8s.io/apimachinery (meta/v1, runtime).
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
TypeMeta: apiVersion=1:string kind=2:string
Unknown: typeMeta=1:TypeMeta raw=2:bytes contentEncoding=3:string contentType=4:string

Time: seconds=1:int64 nanos=2:int32
MicroTime: seconds=1:int64 nanos=2:int32
Quantity: string=1:string
IntOrString: type=1:int64 intVal=2:int32 strVal=3:string
FieldsV1: Raw=1:bytes
OwnerReference: kind=1:string name=3:string uid=4:string apiVersion=5:string controller=6:?bool blockOwnerDeletion=7:?bool
ManagedFieldsEntry: manager=1:string operation=2:string apiVersion=3:string time=4:Time fieldsType=6:string fieldsV1=7:FieldsV1 subresource=8:string
ObjectMeta: name=1:string generateName=2:string namespace=3:string selfLink=4:skip uid=5:string resourceVersion=6:string generation=7:int64 creationTimestamp=8:Time deletionTimestamp=9:Time deletionGracePeriodSeconds=10:?int64 labels=11:@string annotations=12:@string ownerReferences=13:*OwnerReference finalizers=14:*string managedFields=17:*ManagedFieldsEntry
LabelSelectorRequirement: key=1:string operator=2:string values=3:*string
LabelSelector: matchLabels=1:@string matchExpressions=2:*LabelSelectorRequirement
Preconditions: uid=1:?string resourceVersion=2:?string
DeleteOptions: gracePeriodSeconds=1:?int64 preconditions=2:Preconditions orphanDependents=3:?bool propagationPolicy=4:?string dryRun=5:*string ignoreStoreReadErrorWithClusterBreakingPotential=6:?bool

ConfigMap: metadata=1:ObjectMeta data=2:@string binaryData=3:@bytes immutable=4:?bool
Secret: metadata=1:ObjectMeta data=2:@bytes type=3:string stringData=4:@string immutable=5:?bool
NamespaceSpec: finalizers=1:*string
NamespaceStatus: phase=1:string
Namespace: metadata=1:ObjectMeta spec=2:NamespaceSpec status=3:NamespaceStatus
LocalObjectReference: name=1:string
ObjectReference: kind=1:string namespace=2:string name=3:string uid=4:string apiVersion=5:string resourceVersion=6:string fieldPath=7:string
ServiceAccount: metadata=1:ObjectMeta secrets=2:*ObjectReference imagePullSecrets=3:*LocalObjectReference automountServiceAccountToken=4:?bool
ServicePort: name=1:string protocol=2:string port=3:int32 targetPort=4:IntOrString nodePort=5:int32 appProtocol=6:?string
ServiceSpec: ports=1:*ServicePort selector=2:@string clusterIP=3:string type=4:string externalIPs=5:*string sessionAffinity=7:string loadBalancerIP=8:string loadBalancerSourceRanges=9:*string externalName=10:string externalTrafficPolicy=11:string healthCheckNodePort=12:int32 publishNotReadyAddresses=13:bool ipFamilyPolicy=17:?string clusterIPs=18:*string ipFamilies=19:*string internalTrafficPolicy=22:?string
Service: metadata=1:ObjectMeta spec=2:ServiceSpec status=3:skip

ObjectFieldSelector: apiVersion=1:string fieldPath=2:string
ResourceFieldSelector: containerName=1:string resource=2:string divisor=3:Quantity
KeySelector: localObjectReference=1:LocalObjectReference key=2:string optional=3:?bool
EnvVarSource: fieldRef=1:ObjectFieldSelector resourceFieldRef=2:ResourceFieldSelector configMapKeyRef=3:KeySelector secretKeyRef=4:KeySelector
EnvVar: name=1:string value=2:string valueFrom=3:EnvVarSource
EnvSource: localObjectReference=1:LocalObjectReference optional=2:?bool
EnvFromSource: prefix=1:string configMapRef=2:EnvSource secretRef=3:EnvSource
ContainerPort: name=1:string hostPort=2:int32 containerPort=3:int32 protocol=4:string hostIP=5:string
ResourceRequirements: limits=1:@Quantity requests=2:@Quantity
VolumeMount: name=1:string readOnly=2:bool mountPath=3:string subPath=4:string mountPropagation=5:?string subPathExpr=6:string
ExecAction: command=1:*string
HTTPHeader: name=1:string value=2:string
HTTPGetAction: path=1:string port=2:IntOrString host=3:string scheme=4:string httpHeaders=5:*HTTPHeader
TCPSocketAction: port=1:IntOrString host=2:string
SleepAction: seconds=1:int64
ProbeHandler: exec=1:ExecAction httpGet=2:HTTPGetAction tcpSocket=3:TCPSocketAction
Probe: handler=1:ProbeHandler initialDelaySeconds=2:int32 timeoutSeconds=3:int32 periodSeconds=4:int32 successThreshold=5:int32 failureThreshold=6:int32 terminationGracePeriodSeconds=7:?int64
LifecycleHandler: exec=1:ExecAction httpGet=2:HTTPGetAction tcpSocket=3:TCPSocketAction sleep=4:SleepAction
Lifecycle: postStart=1:LifecycleHandler preStop=2:LifecycleHandler
Capabilities: add=1:*string drop=2:*string
SecurityContext: capabilities=1:Capabilities privileged=2:?bool runAsUser=4:?int64 runAsNonRoot=5:?bool readOnlyRootFilesystem=6:?bool allowPrivilegeEscalation=7:?bool runAsGroup=8:?int64
Container: name=1:string image=2:string command=3:*string args=4:*string workingDir=5:string ports=6:*ContainerPort env=7:*EnvVar resources=8:ResourceRequirements volumeMounts=9:*VolumeMount livenessProbe=10:Probe readinessProbe=11:Probe lifecycle=12:Lifecycle terminationMessagePath=13:string imagePullPolicy=14:string securityContext=15:SecurityContext stdin=16:bool stdinOnce=17:bool tty=18:bool envFrom=19:*EnvFromSource terminationMessagePolicy=20:string startupProbe=22:Probe
KeyToPath: key=1:string path=2:string mode=3:?int32
HostPathVolumeSource: path=1:string type=2:?string
EmptyDirVolumeSource: medium=1:string sizeLimit=2:Quantity
SecretVolumeSource: secretName=1:string items=2:*KeyToPath defaultMode=3:?int32 optional=4:?bool
ConfigMapVolumeSource: localObjectReference=1:LocalObjectReference items=2:*KeyToPath defaultMode=3:?int32 optional=4:?bool
PersistentVolumeClaimVolumeSource: claimName=1:string readOnly=2:bool
VolumeSource: hostPath=1:HostPathVolumeSource emptyDir=2:?EmptyDirVolumeSource secret=6:SecretVolumeSource persistentVolumeClaim=10:PersistentVolumeClaimVolumeSource configMap=19:ConfigMapVolumeSource
Volume: name=1:string volumeSource=2:VolumeSource
Toleration: key=1:string operator=2:string value=3:string effect=4:string tolerationSeconds=5:?int64
PodSecurityContext: runAsUser=2:?int64 runAsNonRoot=3:?bool supplementalGroups=4:*int64 fsGroup=5:?int64 runAsGroup=6:?int64
PodSpec: volumes=1:*Volume containers=2:*Container restartPolicy=3:string terminationGracePeriodSeconds=4:?int64 activeDeadlineSeconds=5:?int64 dnsPolicy=6:string nodeSelector=7:@string serviceAccountName=8:string serviceAccount=9:string nodeName=10:string hostNetwork=11:bool hostPID=12:bool hostIPC=13:bool securityContext=14:PodSecurityContext imagePullSecrets=15:*LocalObjectReference hostname=16:string subdomain=17:string schedulerName=19:string initContainers=20:*Container automountServiceAccountToken=21:?bool tolerations=22:*Toleration priorityClassName=24:string priority=25:?int32 shareProcessNamespace=27:?bool preemptionPolicy=31:?string enableServiceLinks=30:?bool
PodTemplateSpec: metadata=1:ObjectMeta spec=2:PodSpec
Pod: metadata=1:ObjectMeta spec=2:PodSpec status=3:skip
RollingUpdateDeployment: maxUnavailable=1:?IntOrString maxSurge=2:?IntOrString
DeploymentStrategy: type=1:string rollingUpdate=2:RollingUpdateDeployment
DeploymentSpec: replicas=1:?int32 selector=2:LabelSelector template=3:PodTemplateSpec strategy=4:DeploymentStrategy minReadySeconds=5:int32 revisionHistoryLimit=6:?int32 paused=7:bool progressDeadlineSeconds=9:?int32
Deployment: metadata=1:ObjectMeta spec=2:DeploymentSpec status=3:skip
PodDisruptionBudgetSpec: minAvailable=1:?IntOrString selector=2:LabelSelector maxUnavailable=3:?IntOrString unhealthyPodEvictionPolicy=4:?string
PodDisruptionBudget: metadata=1:ObjectMeta spec=2:PodDisruptionBudgetSpec status=3:skip
Eviction: metadata=1:ObjectMeta deleteOptions=2:DeleteOptions

PolicyRule: verbs=1:*string apiGroups=2:*string resources=3:*string resourceNames=4:*string nonResourceURLs=5:*string
AggregationRule: clusterRoleSelectors=1:*LabelSelector
Role: metadata=1:ObjectMeta rules=2:*PolicyRule
ClusterRole: metadata=1:ObjectMeta rules=2:*PolicyRule aggregationRule=3:AggregationRule
Subject: kind=1:string apiGroup=2:string name=3:string namespace=4:string
RoleRef: apiGroup=1:string kind=2:string name=3:string
RoleBinding: metadata=1:ObjectMeta subjects=2:*Subject roleRef=3:RoleRef

FieldSelectorAttributes: rawSelector=1:string requirements=2:*LabelSelectorRequirement
ResourceAttributes: namespace=1:string verb=2:string group=3:string version=4:string resource=5:string subresource=6:string name=7:string fieldSelector=8:FieldSelectorAttributes labelSelector=9:FieldSelectorAttributes
NonResourceAttributes: path=1:string verb=2:string
ExtraValue: items=1:*string
AccessReviewSpec: resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes user=3:string groups=4:*string extra=5:@ExtraValue uid=6:string
AccessReview: metadata=1:ObjectMeta spec=2:AccessReviewSpec status=3:skip
RulesReviewSpec: namespace=1:string
RulesReview: metadata=1:ObjectMeta spec=2:RulesReviewSpec status=3:skip
SelfSubjectReview: metadata=1:ObjectMeta status=2:skip
TokenReviewSpec: token=1:string audiences=2:*string
TokenReview: metadata=1:ObjectMeta spec=2:TokenReviewSpec status=3:skip
BoundObjectReference: kind=1:string apiVersion=2:string name=3:string uid=4:string
TokenRequestSpec: audiences=1:*string boundObjectRef=3:BoundObjectReference expirationSeconds=4:?int64
TokenRequest: metadata=1:ObjectMeta spec=2:TokenRequestSpec status=3:skip
"""  # noqa: E501 - a message per line

INLINED = frozenset({"localObjectReference", "handler", "volumeSource"})
"""Fields whose message is written into its parent in JSON (embedded structs of Go)."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; ``kind`` is a scalar or the name of a message."""

    name: str
    number: int
    kind: str
    pointer: bool = False
    repeated: bool = False
    mapping: bool = False


Message = tuple[Field, ...]


def _field(text: str) -> Field:
    name, _, rest = text.partition("=")
    number, _, kind = rest.partition(":")
    mark = kind[0] if kind[0] in "?*@" else ""
    return Field(name, int(number), kind.lstrip("?*@"), mark == "?", mark == "*", mark == "@")


def _messages() -> dict[str, Message]:
    lines = (line.partition(": ") for line in _TABLE.splitlines() if line)
    return {name: tuple(_field(text) for text in fields.split()) for name, _, fields in lines}


MESSAGES = _messages()
KINDS = {
    ("v1", "Secret"): "Secret",
    ("v1", "ConfigMap"): "ConfigMap",
    ("v1", "Namespace"): "Namespace",
    ("v1", "ServiceAccount"): "ServiceAccount",
    ("v1", "Service"): "Service",
    ("v1", "Pod"): "Pod",
    ("v1", "DeleteOptions"): "DeleteOptions",
    ("meta.k8s.io/v1", "DeleteOptions"): "DeleteOptions",
    ("apps/v1", "Deployment"): "Deployment",
    ("policy/v1", "PodDisruptionBudget"): "PodDisruptionBudget",
    ("policy/v1", "Eviction"): "Eviction",
    ("rbac.authorization.k8s.io/v1", "Role"): "Role",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "ClusterRole",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "RoleBinding",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "RoleBinding",
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): "AccessReview",
    ("authorization.k8s.io/v1", "SubjectAccessReview"): "AccessReview",
    ("authorization.k8s.io/v1", "LocalSubjectAccessReview"): "AccessReview",
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): "RulesReview",
    ("authentication.k8s.io/v1", "SelfSubjectReview"): "SelfSubjectReview",
    ("authentication.k8s.io/v1", "TokenReview"): "TokenReview",
    ("authentication.k8s.io/v1", "TokenRequest"): "TokenRequest",
}
"""(apiVersion, kind) of the bodies that are understood, and their messages."""
