@runbook:scenario-1-oom @runbook:quick-reference-crash-looping-oom @experiment:oom-crash-loop
Feature: Some pods crash loop because the model does not fit into its memory limit
  Runbook scenario 1, "Mixed Pod Status". An upgrade lowered the memory limit below what the model needs: the pods of the
  new version are killed while they load it, and the pods of the old version keep serving. A kernel OOM kill leaves no
  line in the log, so it is read from the container's status. Raising the limit repairs it; nothing else may change.

  Background:
    Given release "llama-2-7b-production" serves model "llama-2-7b" in environment "production"
    And clients send steady load through the API router
    And the service is in its steady state

  Scenario: The memory limit is lowered below what the model needs
    When the experiment "oom-crash-loop" injects its failure
    Then at least 1 pod is terminated with reason "OOMKilled"
    And at least 50 % of the pods stay healthy

    When the remediation runs
    Then it finds the cause "oom_killed" in the pods that were terminated
    And its decision is the one of the matrix for the measured healthy share and error rate
    And the matrix decides "fix forward with monitoring"
    And it acts by a Helm upgrade that changes only "resources.limits.memory"

    Then the service recovers within 60 seconds
    And latency and errors stay within the SLO for the settling window
    And the registry holds model "llama-2-7b" as "ready"
    And a completion through the router is answered by a pod of the release
    And the post-incident checklist holds item by item
