// Generated from deploy/prometheus/rules.yaml by `make rules`. Do not edit.
//   az deployment group create --resource-group GROUP --template-file rules.bicep \
//     --parameters workspaceId=… clusterId=… actionGroupId=…

@description('Location of the rule groups.')
param location string = resourceGroup().location
@description('Resource ID of the Azure Monitor workspace with the metrics.')
param workspaceId string
@description('Resource ID of the AKS cluster that the rules watch.')
param clusterId string
@description('Resource ID of the action group to notify. If empty, no one is notified.')
param actionGroupId string = ''
@description('Value of the label cluster in the metrics. The default is the name of the AKS cluster.')
param clusterName string = last(split(clusterId, '/'))

var actions = empty(actionGroupId) ? [] : [
  {
    actionGroupId: actionGroupId
  }
]

resource chronyTracker 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'chrony-tracker-${clusterName}'
  location: location
  properties: {
    description: 'How far off the clocks of the nodes can be'
    scopes: [
      workspaceId
      clusterId
    ]
    clusterName: clusterName
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'node:chrony_clock_error_bound_seconds:max'
        enabled: true
        expression: 'max by (cluster, node) (last_over_time(chrony_clock_error_bound_seconds[2m]))'
      }
      {
        record: 'node:chrony_objective_limit_seconds:max'
        enabled: true
        expression: 'max by (cluster, node, objective) (last_over_time(chrony_objective_limit_seconds[2m])) or label_replace( group by (cluster, node) (last_over_time(chrony_up[2m])) * 0.1 unless on (cluster, node) last_over_time(chrony_objective_limit_seconds[2m]), "objective", "default", "", "" )'
      }
      {
        record: 'node:chrony_sources:max'
        enabled: true
        expression: 'max by (cluster, node, state) (last_over_time(chrony_sources_by_state[2m]))'
      }
      {
        record: 'node:chrony_tracker_missing:bool'
        enabled: true
        expression: 'group by (cluster, node) ( kube_node_info{os_image!~"Windows.*", kubelet_version!~".*-vk-.*", node!~"(virtual|fargate)-.*"} ) unless on (cluster, node) chrony_up'
      }
      {
        record: 'node:chrony_objective_good:ratio_rate5m'
        enabled: true
        expression: 'max by (cluster, node, objective) ( rate(chrony_objective_good_seconds_total[5m]) / (rate(chrony_objective_seconds_total[5m]) > 0) )'
      }
      {
        record: 'cluster:chrony_clock_pair_error_seconds:max'
        enabled: true
        expression: 'sum by (cluster) (topk by (cluster) (2, node:chrony_clock_error_bound_seconds:max < +Inf)) and on (cluster) count by (cluster) (node:chrony_clock_error_bound_seconds:max < +Inf) > 1'
      }
      {
        record: 'cluster:chrony_tracker_missing:count'
        enabled: true
        expression: 'count by (cluster) (node:chrony_tracker_missing:bool) or 0 * count by (cluster) (node:chrony_clock_error_bound_seconds:max)'
      }
      {
        record: 'cluster:chrony_objective_bad:ratio_rate5m'
        enabled: true
        expression: '( sum by (cluster, objective) (1 - node:chrony_objective_good:ratio_rate5m) + on (cluster) group_left () cluster:chrony_tracker_missing:count ) / ( count by (cluster, objective) (node:chrony_objective_good:ratio_rate5m) + on (cluster) group_left () cluster:chrony_tracker_missing:count )'
      }
      {
        record: 'cluster:chrony_objective_exceeded:ratio'
        enabled: true
        expression: '( count by (cluster, objective) ( max by (cluster, node) (last_over_time(chrony_clock_error_bound_max_seconds{window="1m"}[2m])) < +Inf > on (cluster, node) group_right () node:chrony_objective_limit_seconds:max ) or 0 * count by (cluster, objective) (node:chrony_objective_limit_seconds:max) ) / count by (cluster, objective) (node:chrony_objective_limit_seconds:max)'
      }
      {
        alert: 'ClockErrorUnknown'
        enabled: true
        expression: '( max by (cluster, node, state) (max_over_time(chrony_clock_state{state="unreachable"}[5m])) > 0 or on (cluster, node) topk by (cluster, node) (1, max by (cluster, node, state) (avg_over_time(chrony_clock_state{state!="unreachable"}[5m])) > 0 ) ) and on (cluster, node) min_over_time(node:chrony_clock_error_bound_seconds:max[5m]) == +Inf and on (cluster, node) node:chrony_clock_error_bound_seconds:max offset 5m == +Inf'
        for: 'PT0M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'Nothing has confirmed this clock for 5 minutes. unreachable: chronyd does not answer; unsynchronized: chronyd follows no source; local: chronyd follows the clock itself; holdover or synchronized: chronyd has no sample, or none since another program set the clock.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockErrorUnknown.md'
          summary: 'The clock of node {{ $labels.node }} can be off by any amount: its state is {{ $labels.state }}.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockContradicted'
        enabled: true
        expression: 'max by (cluster, node) (rate(chrony_clock_state_seconds_total{state="contradicted"}[10m])) > 1 / 3'
        for: 'PT1M'
        severity: 0
        labels: {
          severity: 'critical'
        }
        annotations: {
          description: 'chronyd does not correct an error that it has measured, or most sources disagree with the source that it follows. The bound includes these measurements. Programs that ask chronyd or the kernel do not see them.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockContradicted.md'
          summary: 'The clock of node {{ $labels.node }} is farther off than chronyd reports: measurements contradicted chronyd for {{ $value | humanizePercentage }} of the last 10 minutes.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockErrorLarge'
        enabled: true
        expression: 'node:chrony_clock_error_bound_seconds:max < +Inf > on (cluster, node) group_right () node:chrony_objective_limit_seconds:max'
        for: 'PT5M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'This has lasted 5 minutes. The limit is chrony_objective_limit_seconds, or 0.1 s if no objective is set (default).'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockErrorLarge.md'
          summary: 'The clock of node {{ $labels.node }} can be off by {{ $value | humanizeDuration }}, more than the objective {{ $labels.objective }} allows.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockPairApart'
        enabled: true
        expression: 'cluster:chrony_clock_pair_error_seconds:max > on (cluster) 2 * min by (cluster) (node:chrony_objective_limit_seconds:max)'
        for: 'PT5M'
        severity: 0
        labels: {
          severity: 'critical'
        }
        annotations: {
          description: 'The sum of the two largest known bounds of the cluster has exceeded the limit for 5 minutes. Databases that compare clocks between nodes stop a node at their own limit.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockPairApart.md'
          summary: 'The clocks of two nodes{{ with $labels.cluster }} in cluster {{ . }}{{ end }} can be {{ $value | humanizeDuration }} apart, more than twice what the strictest objective allows each.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockBudgetBurning'
        enabled: true
        expression: '( avg_over_time(cluster:chrony_objective_bad:ratio_rate5m[1h]) > 14.4 * (1 - 0.999) and cluster:chrony_objective_bad:ratio_rate5m > 14.4 * (1 - 0.999) and cluster:chrony_objective_bad:ratio_rate5m offset 1h or avg_over_time(cluster:chrony_objective_bad:ratio_rate5m[6h]) > 6 * (1 - 0.999) and avg_over_time(cluster:chrony_objective_bad:ratio_rate5m[30m]) > 6 * (1 - 0.999) and cluster:chrony_objective_bad:ratio_rate5m offset 6h ) and max_over_time(cluster:chrony_objective_exceeded:ratio[210s]) > 0'
        for: 'PT6M'
        severity: 0
        labels: {
          severity: 'critical'
        }
        annotations: {
          description: 'At this rate, the error budget of a month (target 0.999) lasts only days. Nodes without a tracker and clocks without a bound count as outside.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockBudgetBurning.md'
          summary: 'Clocks{{ with $labels.cluster }} in cluster {{ . }}{{ end }} were outside the objective {{ $labels.objective }} for {{ $value | humanizePercentage }} of the time, and some still are: the error budget burns fast.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockBudgetBurningSlowly'
        enabled: true
        expression: 'avg_over_time(cluster:chrony_objective_bad:ratio_rate5m[3d]) > 1 - 0.999 and avg_over_time(cluster:chrony_objective_bad:ratio_rate5m[6h]) > 1 - 0.999 and cluster:chrony_objective_bad:ratio_rate5m offset 1d and avg_over_time(cluster:chrony_objective_exceeded:ratio[6h]) > 1 - 0.999'
        for: 'PT15M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'At this rate, the error budget of a month (target 0.999) is used up before the month ends.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockBudgetBurningSlowly.md'
          summary: 'Clocks{{ with $labels.cluster }} in cluster {{ . }}{{ end }} were outside the objective {{ $labels.objective }} for {{ $value | humanizePercentage }} of the last 3 days, more than the error budget allows.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockStepped'
        enabled: true
        expression: 'max by (cluster, node) (abs(last_over_time(chrony_clock_last_step_seconds[10m]))) > 0.0001 and on (cluster, node) increase(chrony_clock_steps_total[10m]) > 0 and on (cluster, node) node:chrony_clock_error_bound_seconds:max offset 20m'
        for: 'PT1M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'The clock was set within the last 10 minutes. Timers, leases, timestamps and logs on this node can be off by this amount. chrony_clock_last_step_seconds shows the direction: positive is forward.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockStepped.md'
          summary: 'The clock of node {{ $labels.node }} was stepped by {{ $value | humanizeDuration }}.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockSourceSuspicious'
        enabled: true
        expression: 'label_replace( max by (cluster, node) (node:chrony_sources:max{state="falseticker"}) > 0, "reason", "contradicted by the others", "", "" ) or label_replace( count by (cluster, node) ( max by (cluster, node, source_address, source_name) (last_over_time(chrony_sources_reach[2m])) == 0 ) and on (cluster, node) sum without (state) (node:chrony_sources:max{state=~"selected|combined|selectable"}) == 1, "reason", "silent while a single one is left", "", "" ) or label_replace( max by (cluster, node) (last_over_time(chrony_tracker_phc_info{clock_name=""}[2m])) or max by (cluster, node) (last_over_time(chrony_tracker_phc_info{clock_name!~"|hyperv|KVM virtual PTP"}[2m])) and on (cluster, node) last_over_time(chrony_tracker_ptp_clock_info{clock_name=~"hyperv|KVM virtual PTP"}[2m]), "reason", "the wrong PTP clock", "", "" )'
        for: 'PT30M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'This has lasted 30 minutes. The clock may still be accurate, but it has fewer reliable sources than chrony.conf configures.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockSourceSuspicious.md'
          summary: 'Node {{ $labels.node }} cannot rely on {{ $value }} of its time sources: {{ $labels.reason }}.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockTrackerMissing'
        enabled: true
        expression: 'node:chrony_tracker_missing:bool unless on (cluster, node) kube_node_status_condition{condition="Ready", status!="true"} == 1'
        for: 'PT15M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'The node has been ready for 15 minutes, but Prometheus scrapes no tracker on it.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockTrackerMissing.md'
          summary: 'No tracker watches the clock of node {{ $labels.node }}.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
      {
        alert: 'ClockTrackerUnhealthy'
        enabled: true
        expression: 'label_replace(max by (cluster, node) (resets(chrony_tracker_exchanges_total[1h])) > 3, "reason", "restarts", "", "") or label_replace( max by (cluster, node) (increase(chrony_clock_state_seconds_total{state="unobserved"}[1h])) > 360, "reason", "seconds unobserved", "", "" )'
        for: 'PT5M'
        severity: 2
        labels: {
          severity: 'warning'
        }
        annotations: {
          description: 'The values that it reports are correct, but it misses too many samples.'
          runbook_url: 'https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks/ClockTrackerUnhealthy.md'
          summary: 'The tracker of node {{ $labels.node }} is unhealthy: {{ $value | humanize }} {{ $labels.reason }} within an hour.'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT10M'
        }
        actions: actions
      }
    ]
  }
}

resource chronyTrackerDashboards 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'chrony-tracker-dashboards-${clusterName}'
  location: location
  properties: {
    description: 'How far off the clocks of the nodes can be'
    scopes: [
      workspaceId
      clusterId
    ]
    clusterName: clusterName
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'node:chrony_clock_doubt:code'
        enabled: true
        expression: '1 * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="holdover"}[2m])) == 1) or 2 * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="contradicted"}[2m])) == 1) or 3 * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="local"}[2m])) == 1) or 4 * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="unsynchronized"}[2m])) == 1) or 5 * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="unreachable"}[2m])) == 1)'
      }
      {
        record: 'cluster:chrony_clock_nodes:count'
        enabled: true
        expression: 'count by (cluster, state) (node:chrony_clock_doubt:code) or label_replace( count by (cluster) (max by (cluster, node) (last_over_time(chrony_clock_state{state="synchronized"}[2m])) == 1), "state", "synchronized", "", "" )'
      }
      {
        record: 'cluster:chrony_clock_error_bound_seconds:max'
        enabled: true
        expression: 'max by (cluster) (node:chrony_clock_error_bound_seconds:max < +Inf)'
      }
      {
        record: 'cluster:chrony_clock_error_bound_distribution_seconds_bucket:rate5m'
        enabled: true
        expression: 'sum by (cluster, le) (max by (cluster, node, le) (rate(chrony_clock_error_bound_distribution_seconds_bucket[5m])))'
      }
      {
        record: 'cluster:chrony_objective_limit_seconds:min'
        enabled: true
        expression: 'min by (cluster, objective) (node:chrony_objective_limit_seconds:max)'
      }
    ]
  }
}
