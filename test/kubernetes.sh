#!/usr/bin/env bash
# Tests the manifests on the cluster of KUBECONFIG.
#
#   test/kubernetes.sh apply host-network IMAGE
#   test/kubernetes.sh apply socket IMAGE UID    # user id of chronyd on the nodes
#   test/kubernetes.sh check                     # checks what is installed, and changes nothing
#
# apply also checks. kubectl delete namespace chrony-tracker removes everything.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 2
}

fail() {
	echo "FAIL: $*" >&2
	kubectl -n chrony-tracker get pods -o wide >&2
	exit 1
}

apply() { # VARIANT IMAGE [UID]
	local patch
	mkdir -p dist
	overlay=$(mktemp -d dist/overlay.XXXX)
	trap 'rm -rf "$overlay"' EXIT
	patch='{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "'$2'"}'
	[ -z "${3:-}" ] || patch+=', {"op": "replace", "path": "/spec/template/spec/securityContext/runAsUser", "value": '$3'}'
	cat >"$overlay/kustomization.yaml" <<-EOF
		resources: [../../deploy/kubernetes/$1]
		patches: [{target: {kind: DaemonSet}, patch: '[$patch]'}]
	EOF
	kubectl apply -k "$overlay"
	kubectl -n chrony-tracker rollout status daemonset/chrony-tracker --timeout=120s
}

check() {
	local daemonset=daemonset/chrony-tracker nodes pods port want
	nodes=$(kubectl get nodes -l 'kubernetes.io/os=linux,type!=virtual-kubelet' -o name | wc -l)
	port=$(kubectl -n chrony-tracker get $daemonset -o jsonpath='{.spec.template.spec.containers[0].ports[0].containerPort}')
	want=127.0.0.1:323
	[ "$(kubectl -n chrony-tracker get $daemonset -o jsonpath='{.spec.template.spec.hostNetwork}')" = true ] || want=unix:///run/chrony/chronyd.sock
	pods=$(kubectl -n chrony-tracker get pods -l app.kubernetes.io/name=chrony-tracker --field-selector=status.phase=Running \
		-o jsonpath='{range .items[*]}{.metadata.name},{.spec.nodeName},{.status.containerStatuses[0].restartCount}{"\n"}{end}')
	[ "$(wc -l <<<"$pods")" = "$nodes" ] || fail "$nodes nodes, but these pods run: $pods"

	local pod node restarts metrics state bound from
	while IFS=, read -r pod node restarts; do
		metrics=$(kubectl get --raw "/api/v1/namespaces/chrony-tracker/pods/$pod:$port/proxy/metrics") || fail "$pod on $node answers no scrape"
		grep -q '^chrony_up 1$' <<<"$metrics" || fail "$pod on $node reads no chronyd: $(grep '^chrony_tracker_exchange_failures_total' <<<"$metrics")"
		state=$(sed -nE 's/^chrony_clock_state\{state="([a-z]+)"\} 1$/\1/p' <<<"$metrics")
		bound=$(sed -n 's/^chrony_clock_error_bound_seconds //p' <<<"$metrics")
		from=$(kubectl -n chrony-tracker exec "$pod" -- /chrony-tracker status --json </dev/null | sed -n 's/.*"address": "\(.*\)",/\1/p')
		[ -n "$state" ] && [ -n "$bound" ] || fail "$pod on $node says: $metrics"
		[ "$from" = "$want" ] || fail "$pod on $node reads $from, not $want"
		[ "$restarts" = 0 ] || fail "$pod on $node was restarted $restarts times"
		echo "$node: $pod reads $from: $state, $bound s"
	done <<<"$pods"
	echo "PASS: $nodes nodes"
}

# contradicted waits until the witnesses of a node contradict it, and wants those of all
# other nodes to find their clocks consistent. Make the clock of one node wrong before:
# let its chronyd follow a server that is 250 ms off.
contradicted() { # NODE
	local port pods pod node metrics state wrong attempt
	port=$(kubectl -n chrony-tracker get daemonset/chrony-tracker -o jsonpath='{.spec.template.spec.containers[0].ports[0].containerPort}')
	pods=$(kubectl -n chrony-tracker get pods -l app.kubernetes.io/name=chrony-tracker \
		-o jsonpath='{range .items[*]}{.metadata.name},{.spec.nodeName}{"\n"}{end}')
	grep -q ",$1\$" <<<"$pods" || fail "no pod runs on $1"
	for attempt in $(seq 60); do
		wrong=
		while IFS=, read -r pod node; do
			metrics=$(kubectl get --raw "/api/v1/namespaces/chrony-tracker/pods/$pod:$port/proxy/metrics") || fail "$pod on $node answers no scrape"
			state=$(sed -nE 's/^chrony_clock_state\{state="([a-z]+)"\} 1$/\1/p' <<<"$metrics"),$(sed -nE 's/^chrony_witness_verdict\{kind="peer",verdict="([a-z]+)"\} 1$/\1/p' <<<"$metrics")
			case "$node $state" in
			"$1 contradicted,contradicted" | *" synchronized,consistent") ;;
			*) wrong+=" $node: $state;" ;;
			esac
			[ "$node $state" != "$1 synchronized,consistent" ] || wrong+=" $node: $state;"
		done <<<"$pods"
		[ -n "$wrong" ] || break
		sleep 2
	done
	[ -z "$wrong" ] || fail "after $attempt attempts,$wrong"
	echo "PASS: witnesses contradict $1 alone"
}

case "${1:-} $#" in
"apply 3" | "apply 4")
	apply "${@:2}"
	check
	;;
"check 1") check ;;
"contradicted 2") contradicted "$2" ;;
*) usage ;;
esac
