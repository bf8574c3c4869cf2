@control @beyond:no-failure
Feature: Without a failure the remediation changes nothing
  A remediation that repairs what is not broken is a hazard of its own, and a harness that fails a healthy service is
  worthless. No failure is injected here.

  Background:
    Given release "llama-2-7b-production" serves model "llama-2-7b" in environment "production"
    And clients send steady load through the API router
    And the service is in its steady state

  Scenario: A healthy service is left alone
    When the remediation runs for 3 seconds
    Then it finds nothing to repair
    And it changes no Helm release
    And latency and errors stay within the SLO for the settling window
    And the registry holds model "llama-2-7b" as "ready"
