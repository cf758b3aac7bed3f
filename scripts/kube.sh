#!/usr/bin/env bash
# A real Kubernetes of one node on this machine, for tests: etcd, API server, controllers, scheduler, containerd, kubelet, kube-proxy and cluster DNS, all in
# a network namespace of its own, so that nothing of it reaches outside.
#
#   scripts/kube.sh up DIR       builds what is missing (minutes, once), starts it, prints the path of the kubeconfig
#   scripts/kube.sh down DIR     ends it and removes DIR
#   scripts/kube.sh tools        builds what is missing, and no more
#   scripts/kube.sh path NAME    where kubectl or another of its programs is
#
# It takes root on a Debian with cgroups, and one at a time on a machine. There is no registry: images come in by `DIR/ctr images import FILE.tar`. From this
# machine, the API server is https://198.18.0.2:6443 and node ports are on 198.18.0.2; a server here is 198.18.0.1 for pods. It has no storage class, no
# metrics server, and lets every NetworkPolicy pass.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CACHE=$TOOLS/kube
BIN=$CACHE/bin
KUBERNETES=1.34.4
ETCD=v3.6.16
COREDNS=v1.14.7
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
HOST=198.18.0.1 NODE=198.18.0.2 PODS=198.18.4.0/24 SERVICES=198.19.0.0/24 FIRST_SERVICE=198.19.0.1 DNS=198.19.0.10

packages() {
    have containerd && have runc && have iptables && have conntrack && [[ -x /usr/lib/cni/bridge ]] && return
    have apt-get || unavailable "a node takes containerd, runc, CNI plugins, iptables and conntrack, and there is no apt-get to install them"
    note "installing containerd, runc, CNI plugins and iptables"
    apt-get update -q >>"$TOOLS/install.log" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        containerd runc containernetworking-plugins iptables nftables conntrack iproute2 openssl procps >>"$TOOLS/install.log" 2>&1
}

# Its replace directives forbid `go install`: it is built in a module of our own, with the same directives.
build_kubernetes() {
    local program missing=() file module=$CACHE/module version=k8s.io/component-base/version
    for program in "${PROGRAMS[@]}"; do [[ -x $BIN/$program-$KUBERNETES ]] || missing+=("$program"); done
    ((${#missing[@]})) || return 0
    note "building Kubernetes $KUBERNETES (10 minutes, once)"
    mkdir -p "$module"
    cd "$module"
    printf 'module kubernetes\n\ngo 1.24.0\n' >go.mod
    file=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    {
        echo "require k8s.io/kubernetes v$KUBERNETES"
        echo "replace ("
        grep -oE '^\s+k8s\.io/[a-z-]+ v0\.0\.0( |$)' "$file" | awk -v v="v0.${KUBERNETES#1.}" '{print "  " $1 " => " $1 " " v}' | sort -u
        echo ")"
    } >>go.mod
    { printf 'package kubernetes\n\nimport (\n' && printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${PROGRAMS[@]}" && echo ")"; } >programs.go
    go mod tidy >>"$TOOLS/install.log" 2>&1
    for program in "${missing[@]}"; do
        go build -ldflags="-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=34" \
            -o "$BIN/$program-$KUBERNETES" "k8s.io/kubernetes/cmd/$program"
        note "built $program"
    done
}

# build_main NAME MODULE VERSION: a main program of a module that cannot be installed either.
build_main() {
    [[ -x $BIN/$1-$3 ]] && return
    note "building $1 $3"
    mkdir -p "$CACHE/$1-$3.module"
    cd "$CACHE/$1-$3.module"
    rm -f go.mod go.sum
    printf 'package main\n\nimport _ "%s"\n' "$2" >tool.go
    { go mod init fetched && go get "$2@$3" && go mod tidy; } >>"$TOOLS/install.log" 2>&1
    go build -ldflags='-s -w' -o "$BIN/$1-$3" "$2"
}

# What holds a pod's namespaces while its containers come and go.
build_pause() {
    [[ -x $BIN/pause ]] && return
    mkdir -p "$CACHE/pause"
    cd "$CACHE/pause"
    printf 'module pause\n\ngo 1.24\n' >go.mod
    cat >main.go <<'GO'
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
GO
    go build -ldflags='-s -w' -o "$BIN/pause" .
}

tools() {
    [[ $(id -u) == 0 ]] || unavailable "a node takes root"
    have go || unavailable "Kubernetes takes go, which is not in PATH"
    mkdir -p "$BIN"
    packages
    export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
    (build_kubernetes)
    (build_main etcd go.etcd.io/etcd/server/v3 "$ETCD")
    (build_main coredns github.com/coredns/coredns "$COREDNS")
    (build_pause)
}

in_namespace() { nsenter --net="/run/netns/$NAMESPACE" "$@"; }

network() {
    local taken
    taken=$(ip -o addr show to "$HOST" | awk '{print $2}')
    [[ -z $taken ]] || die "another cluster is up on $HOST (interface $taken): end it first by \`scripts/kube.sh down\` and its folder"
    ip netns add "$NAMESPACE"
    ip link add "$NAMESPACE" type veth peer name uplink netns "$NAMESPACE"
    ip addr add "$HOST/30" dev "$NAMESPACE"
    ip link set "$NAMESPACE" up
    in_namespace ip addr add "$NODE/30" dev uplink
    in_namespace ip link set uplink up
    in_namespace ip link set lo up
    # The host forwards nothing: it is all that pods reach.
    in_namespace ip route add default via "$HOST"
    ip route add "$PODS" via "$NODE"
    ip route add "$SERVICES" via "$NODE"
    in_namespace sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1
}

pair() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "pki/$1.key" -subj "$2" 2>/dev/null |
        openssl x509 -req -CA pki/ca.crt -CAkey pki/ca.key -CAcreateserial -days 365 -out "pki/$1.crt" -extfile <(printf 'subjectAltName=%s' "$3") 2>/dev/null
}

certificates() {
    local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
    mkdir -p pki
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout pki/ca.key -out pki/ca.crt -subj /CN=cluster -days 365 2>/dev/null
    pair server /CN=kube-apiserver "IP:127.0.0.1,IP:$NODE,IP:$FIRST_SERVICE,$names"
    pair admin /O=system:masters/CN=admin DNS:admin
    pair kubelet-client /O=system:masters/CN=kubelet-client DNS:kubelet-client
    openssl genrsa -out pki/accounts.key 2048 2>/dev/null
    cat >kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters: [{name: kube, cluster: {server: "https://$NODE:6443", certificate-authority: $DIR/pki/ca.crt}}]
users: [{name: admin, user: {client-certificate: $DIR/pki/admin.crt, client-key: $DIR/pki/admin.key}}]
contexts: [{name: kube, context: {cluster: kube, user: admin}}]
current-context: kube
YAML
}

# spawn NAME COMMAND...: in the namespace, with its output in log/NAME. Not by in_namespace: the id would be that of a shell around the command.
spawn() {
    local name=$1
    shift
    nsenter --net="/run/netns/$NAMESPACE" setsid "$@" >"log/$name" 2>&1 </dev/null &
    echo $! >"run/$name.pid"
}

quiet() { "$@" >/dev/null 2>&1; }
# up_or_die NAME COMMAND...
up_or_die() {
    wait_until 120 quiet "${@:2}" && return
    tail -n 5 "log/$1" >&2
    die "$1 did not come up: see $DIR/log/$1"
}

control_plane() {
    spawn etcd "$BIN/etcd-$ETCD" --data-dir "$DIR/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level error
    spawn apiserver "$BIN/kube-apiserver-$KUBERNETES" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --advertise-address="$NODE" --secure-port=6443 \
        --tls-cert-file=pki/server.crt --tls-private-key-file=pki/server.key --client-ca-file=pki/ca.crt \
        --kubelet-client-certificate=pki/kubelet-client.crt --kubelet-client-key=pki/kubelet-client.key --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file=pki/accounts.key \
        --service-account-signing-key-file=pki/accounts.key --service-cluster-ip-range="$SERVICES" --authorization-mode=Node,RBAC --allow-privileged=true \
        --enable-admission-plugins=NodeRestriction,ResourceQuota
    up_or_die apiserver "$BIN/kubectl-$KUBERNETES" get --raw /readyz
    spawn controllers "$BIN/kube-controller-manager-$KUBERNETES" --kubeconfig="$KUBECONFIG" --root-ca-file=pki/ca.crt \
        --service-account-private-key-file=pki/accounts.key --use-service-account-credentials --leader-elect=false
    spawn scheduler "$BIN/kube-scheduler-$KUBERNETES" --kubeconfig="$KUBECONFIG" --leader-elect=false
}

containers() {
    cat >containerd.toml <<TOML
version = 2
root = "$DIR/containerd"
state = "$DIR/run/containerd"
[grpc]
  address = "$DIR/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$DIR/cni"
TOML
    mkdir -p cni
    cat >cni/10-bridge.conflist <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$DIR/run/ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
    spawn containerd containerd --config "$DIR/containerd.toml"
    printf '#!/bin/sh\nexec ctr -a %s/run/containerd.sock -n k8s.io "$@"\n' "$DIR" >ctr
    chmod +x ctr
    up_or_die containerd ./ctr version
    python3 -B "$ROOT/scripts/image.py" pause.tar --name docker.io/local/pause:1 --entrypoint /pause --layer "$BIN/pause=/pause" >/dev/null
    ./ctr images import pause.tar >/dev/null
}

node() {
    cat >kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $DIR/pki/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /
clusterDNS: [$DNS]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$DIR/run/containerd.sock
failSwapOn: false
failCgroupV1: false
maxOpenFiles: 20000
oomScoreAdj: 0
makeIPTablesUtilChains: true
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
localStorageCapacityIsolation: false
resolvConf: $DIR/resolv.conf
nodeStatusUpdateFrequency: 2s
YAML
    echo "nameserver $HOST" >resolv.conf
    spawn kubelet "$BIN/kubelet-$KUBERNETES" --config="$DIR/kubelet.yaml" --kubeconfig="$KUBECONFIG" --hostname-override=node --node-ip="$NODE" \
        --root-dir="$DIR/kubelet" --cert-dir="$DIR/pki/kubelet" --runtime-cgroups=/ --kubelet-cgroups=/
    cat >proxy.yaml <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $KUBECONFIG}
clusterCIDR: $PODS
hostnameOverride: node
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
    spawn proxy "$BIN/kube-proxy-$KUBERNETES" --config="$DIR/proxy.yaml"
}

dns() {
    cat >Corefile <<TEXT
cluster.local:53 {
  bind $NODE
  kubernetes cluster.local {
    kubeconfig $KUBECONFIG kube
  }
}
TEXT
    spawn dns "$BIN/coredns-$COREDNS" -conf "$DIR/Corefile"
    "$BIN/kubectl-$KUBERNETES" apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: $DNS, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: [$NODE], conditions: {ready: true}}]
YAML
}

is_ready() { [[ $("$BIN/kubectl-$KUBERNETES" get node node -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == True ]]; }

up() {
    tools
    mkdir -p "$DIR"
    cd "$DIR"
    mkdir -p log run
    export KUBECONFIG=$DIR/kubeconfig
    echo "$NAMESPACE" >run/netns
    network
    certificates
    control_plane
    containers
    node
    dns
    up_or_die kubelet is_ready
    up_or_die controllers "$BIN/kubectl-$KUBERNETES" get serviceaccount default
    ln -sf "$BIN/kubectl-$KUBERNETES" kubectl
    echo "$KUBECONFIG"
}

# A process of another with a recycled id is in another namespace.
ours() { [[ -n $1 && /proc/$1/ns/net -ef /run/netns/$NAMESPACE ]]; }
gone() { ! ours "$1"; }
stop() {
    local pid
    pid=$(cat "run/$1.pid" 2>/dev/null || true)
    ours "$pid" && kill "$pid" 2>/dev/null || return 0
    wait_until 10 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

inhabitants() { ip netns pids "$NAMESPACE" 2>/dev/null || true; }
nobody() { [[ -z $(inhabitants) ]]; }

remove_containers() {
    local id
    for id in $(./ctr tasks ls -q 2>/dev/null); do ./ctr tasks kill -s KILL "$id" >/dev/null 2>&1 || true; done
    sleep 1
    for id in $(./ctr containers ls -q 2>/dev/null); do
        ./ctr tasks rm -f "$id" >/dev/null 2>&1 || true
        ./ctr containers rm "$id" >/dev/null 2>&1 || true
    done
}

# Innermost first.
mounts() { awk -v below="$DIR/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r; }

unmount() {
    local path
    # One may have gone with another.
    for path in $(mounts); do umount -l "$path" 2>/dev/null || true; done
    [[ -z $(mounts) ]] || die "these stay mounted, and so does what is in $DIR: $(mounts)"
}

# Wherever `up` came to: all of this also holds when there is little of it.
down() {
    local name pid
    cd "$DIR"
    NAMESPACE=$(cat run/netns 2>/dev/null || echo "$NAMESPACE")
    for name in dns proxy kubelet controllers scheduler; do stop "$name"; done
    remove_containers
    for name in containerd apiserver etcd; do stop "$name"; done
    # What holds containers, and whatever has lost its id.
    for pid in $(inhabitants); do kill -KILL "$pid" 2>/dev/null || true; done
    wait_until 10 nobody || die "these do not end: $(inhabitants)"
    unmount
    ip link del "$NAMESPACE" 2>/dev/null || true
    ip netns del "$NAMESPACE" 2>/dev/null || true
    # Those of pods in which nobody lives any more.
    for name in $(ip netns list 2>/dev/null | grep -oE '^cni-[0-9a-f-]+'); do
        [[ -n $(ip netns pids "$name") ]] || ip netns del "$name" || true
    done
    cd /
    rm -rf "$DIR"
}

case ${1:-}:$# in
up:2 | down:2)
    DIR=$(realpath -m "$2")
    # As long as a network interface's name may be.
    NAMESPACE=kube-$(printf '%s' "$DIR" | cksum | cut -d' ' -f1 | tail -c 9)
    [[ $1 == up || -d $DIR/run ]] || exit 0
    "$1"
    ;;
tools:1) tools ;;
path:2) echo "$BIN/$2-$KUBERNETES" ;;
*)
    sed -n '5,8s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
