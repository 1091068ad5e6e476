#!/usr/bin/env bash
# Applies the manifests to the cluster that KUBECONFIG names and checks every pod:
#
#   IMAGE=registry/chrony-tracker:tag test/kubernetes.sh host-network
#   IMAGE=registry/chrony-tracker:tag CHRONY_UID=101 test/kubernetes.sh socket
#
# It leaves the pods running; kubectl delete namespace chrony-tracker removes all.
set -euo pipefail
cd "$(dirname "$0")/.."
variant=${1:?usage: $0 host-network|socket}
: "${IMAGE:?the image, which the nodes must be able to pull or have}"

fail() {
	echo "FAIL: $*" >&2
	kubectl -n chrony-tracker get pods -o wide >&2
	exit 1
}

manifest() {
	kubectl kustomize "deploy/kubernetes/$variant" |
		sed -e "s|image: YOUR-REGISTRY/.*|image: $IMAGE|" -e "s|runAsUser: 999|runAsUser: ${CHRONY_UID:-999}|"
}

manifest | kubectl apply -f -
kubectl -n chrony-tracker rollout status daemonset/chrony-tracker --timeout=120s

nodes=$(kubectl get nodes -l kubernetes.io/os=linux,type!=virtual-kubelet -o name | wc -l)
pods=$(kubectl -n chrony-tracker get pods -l app.kubernetes.io/name=chrony-tracker --field-selector=status.phase=Running \
	-o jsonpath='{range .items[*]}{.metadata.name},{.spec.nodeName}{"\n"}{end}')
[ "$(wc -l <<<"$pods")" = "$nodes" ] || fail "$nodes nodes, but these pods run: $pods"

for entry in $pods; do
	pod=${entry%,*} node=${entry#*,}
	metrics=$(kubectl get --raw "/api/v1/namespaces/chrony-tracker/pods/$pod:9123/proxy/metrics") || fail "$pod on $node answers no scrape"
	grep -q '^chrony_up 1$' <<<"$metrics" || fail "$pod on $node reads no chronyd: $(grep -E '^chrony_tracker_exchange_failures_total' <<<"$metrics")"
	state=$(sed -nE 's/^chrony_clock_state\{state="([a-z]+)"\} 1$/\1/p' <<<"$metrics")
	bound=$(sed -n 's/^chrony_clock_error_bound_seconds //p' <<<"$metrics")
	from=$(kubectl -n chrony-tracker exec "$pod" -- /chrony-tracker status --json | sed -n 's/.*"address": "\(.*\)",/\1/p')
	[ -n "$state" ] && [ -n "$bound" ] && [ -n "$from" ] || fail "$pod on $node says: $metrics"
	echo "$node: $pod reads $from: $state, $bound s"
done
echo "PASS: $nodes nodes"
