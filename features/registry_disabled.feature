@runbook:scenario-3-disabled @runbook:quick-reference-registry-disabled @experiment:registry-disabled
Feature: The registry shows a healthy model as disabled
  Runbook scenario 3, "Registry Status Mismatch". Somebody disabled the model by mistake: no reason and no owner are kept.
  Every pod is healthy, yet the router refuses all requests for the model. A rollback would not help and must not
  happen. The model is enabled again, once a completion straight from a pod has proved that the deployment works.

  Background:
    Given release "llama-2-7b-production" serves model "llama-2-7b" in environment "production"
    And clients send steady load through the API router
    And the service is in its steady state

  Scenario: The model is disabled while its pods are healthy
    When the experiment "registry-disabled" injects its failure
    Then requests are refused because the model is disabled
    And at least 100 % of the pods stay healthy

    When the remediation runs
    Then it finds the cause "registry_disabled"
    And its decision is the one of the matrix for the measured healthy share and error rate
    And the matrix decides "fix forward"
    And it acts by enabling the model in the registry
    And it changes no Helm release

    Then the service recovers within 30 seconds
    And latency and errors stay within the SLO for the settling window
    And the registry holds model "llama-2-7b" as "ready"
    And a completion through the router is answered by a pod of the release
